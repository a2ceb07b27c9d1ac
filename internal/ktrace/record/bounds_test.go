//go:build linux

package record

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// TestBounds: what is beyond them is refused with its line, and names reach
// nobody as they are.
func TestBounds(t *testing.T) {
	const head = `{"recording":{"version":1,"release":"6.1\u001b[2J","arch":"x86_64"}}` + "\n"
	long := strings.Repeat("a", maxName+1)
	for line, want := range map[string]string{
		`{"frame":{"id":1,"name":"` + long + `"}}`:                                 "line 2: a name of 513 bytes",
		`{"frame":{"id":1,"name":"x","aliases":["` + long + `"]}}`:                 "line 2: a name of 513 bytes",
		`{"event":{"kind":"enter","t":1,"comm":"` + long + `"}}`:                   "line 2: a name of 513 bytes",
		`{"event":{"kind":"enter","t":-1}}`:                                        "before the boot",
		`{"event":{"kind":"enter","t":1,"pid":4294967296}}`:                        "4294967296",
		`{"loss":{"src":"x","count":1,"from":-5,"to":1}}`:                          "before the boot",
		`{"note":{"key":"` + long + `","value":""}}`:                               "line 2: a name of 513 bytes",
		`{"note":{"key":"x","value":"` + strings.Repeat("a", maxLine) + `"}}`:      "line 2: longer than",
		`{"stack":{"id":1,"frames":[` + strings.Repeat("[1,0],", 600) + `[1,0]]}}`: "more than 512 frames",
	} {
		_, _, _, _, err := read(strings.NewReader(head + line + "\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", line, err, want)
		}
	}
	r, err := NewReader(strings.NewReader(head + `{"frame":{"id":1,"name":"f\u001b"}}` + "\n" + `{"stack":{"id":1,"frames":[[1,0]]}}` + "\n" + `{"event":{"kind":"waking","t":1,"src":"s\u202e","stack":1}}` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	it, err := r.Next()
	if err != nil || it.Event.Stack[0].Name != `f\x1b` || it.Event.Source != `s\u202e` || r.Release != `6.1\x1b[2J` {
		t.Errorf("%+v, %v, release %q", it.Event, err, r.Release)
	}
}

// TestWriterKeepsBounds: what a Writer writes can be read, however deep and
// many the stacks are.
func TestWriterKeepsBounds(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, header, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range 300 {
		frames := make([]ktrace.Frame, 700)
		for k := range frames {
			frames[k] = ktrace.Frame{Name: fmt.Sprintf("f%d_%d", i, k)}
		}
		for _, part := range [][]ktrace.Frame{frames, frames[:3]} { // one slice is the beginning of the other
			if err := w.Write([]ktrace.Event{{Kind: ktrace.Waking, Time: 1, Stack: part}}, nil); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	for {
		it, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{maxDepth, 3}[(600-n)%2]; len(it.Event.Stack) != want || it.Event.Truncated != (want == maxDepth) {
			t.Fatalf("a stack of %d frames, truncated %v, want %d", len(it.Event.Stack), it.Event.Truncated, want)
		}
		n--
	}
	if n != 0 {
		t.Errorf("%d events were not read", n)
	}
}
