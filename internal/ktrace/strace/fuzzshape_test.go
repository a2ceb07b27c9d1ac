//go:build linux

package strace

import (
	"bytes"
	"os"
	"testing"
)

// shapes are what a fuzzed log is put into, line by line.
var shapes = [][2]string{
	{"", ""}, {"Nov 17 18:45:41 node1 strace[1234]: ", ""}, {"2024-05-06T10:00:00.123456789Z ", ""}, {"web-1  | ", ""}, {"trace.123:", ""},
	{"12:", ""}, {"    12\t", ""}, {"1400 ", ""}, {"> ", ""}, {"    ", ""}, {"+", ""}, {"strace: ", ""}, {`{"log":"`, `\n","stream":"stderr"}`}, {"1-", ""}, {"a/2/", ""}, {"<p>", "</p>"},
	{"| ", " |"}, {"`", "`"}, {"", "\r"}, {" | ", ""}, {" > ", ""}, {"05-06 10:00:00.123  1234  1234 I strace  : ", ""}, {"\xff\xfe", "\x00"},
}

// Whatever stands around the lines of a log, wherever they are cut, comes out as
// it went in, and nothing is fatal.
func FuzzShape(f *testing.F) {
	for i, name := range logs(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 2500)], byte(i), byte(i*7%90))
	}
	for i, s := range brokenLogs {
		f.Add([]byte(s), byte(i), byte(0))
	}
	for i := range shapes {
		f.Add([]byte("[pid 7] poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}]) <0.000010>\n7 &lt;... read resumed&gt;\n"), byte(i), byte(40+i))
	}
	f.Fuzz(func(t *testing.T, log []byte, shape, width byte) {
		var in []byte
		s := shapes[int(shape)%len(shapes)]
		for line := range bytes.Lines(log) {
			for w := int(width); w >= leastWidth && len(line) > w+1; line = line[w:] {
				in = append(append(append(append(in, s[0]...), line[:w]...), s[1]...), '\n')
			}
			in = append(append(append(append(in, s[0]...), bytes.TrimSuffix(line, []byte("\n"))...), s[1]...), '\n')
		}
		lines := 0
		roundTrip(t, in, func(rec *Record) {
			if lines++; rec.Line != lines && !rec.Part {
				t.Fatalf("record %d is of line %d", lines, rec.Line)
			}
		})
	})
}
