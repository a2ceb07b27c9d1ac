//go:build linux

package explain

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// Whatever a log holds, every line of it comes out, as text and as JSON, and
// every picture of it can be drawn.
func FuzzExplain(f *testing.F) {
	for _, name := range logs(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for at := 0; at < len(b) && at < 12000; at += 3000 {
			f.Add(b[at:min(len(b), at+3000)])
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = bytes.ReplaceAll(in, []byte(mark), []byte("#; ")) // else it would count as annotation
		var b bytes.Buffer
		o := Options{FD: -1, Paths: on618}
		if err := Text(&b, strace.NewReader(bytes.NewReader(in), 0), New(), o); err != nil {
			t.Fatal(err)
		}
		if got := stripped(b.String()); strings.TrimSuffix(got, "\n") != strings.TrimSuffix(string(in), "\n") {
			t.Errorf("text: %q\nlog: %q", got, in)
		}
		b.Reset()
		if err := JSON(&b, strace.NewReader(bytes.NewReader(in), 0), New(), o); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for line := range strings.Lines(b.String()) {
			if lines++; !json.Valid([]byte(line)) {
				t.Errorf("no JSON: %s", line)
			}
		}
		want := bytes.Count(in, []byte("\n"))
		if len(in) > 0 && in[len(in)-1] != '\n' {
			want++
		}
		if lines != want {
			t.Errorf("%d objects for %d lines", lines, want)
		}
		tl, err := Timeline(strace.NewReader(bytes.NewReader(in), 0), New(), o, "fuzz", "6.18")
		if err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"trace-event", "folded"} {
			if err := render.Write(io.Discard, format, tl); err != nil {
				t.Error(err)
			}
		}
	})
}
