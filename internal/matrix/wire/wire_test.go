//go:build linux

package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, Frame{Kind: Output, Step: "s"}, []byte("two\nlines\x00")); err != nil {
		t.Fatal(err)
	}
	if err := Write(&b, Frame{Kind: Bye}, nil); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	r := bufio.NewReader(&b)
	f, body, err := Read(r)
	if err != nil || f.Kind != Output || f.Step != "s" || string(body) != "two\nlines\x00" {
		t.Fatalf("Read = %+v, %q, %v", f, body, err)
	}
	if f, _, err = Read(r); err != nil || f.Kind != Bye {
		t.Fatalf("Read = %+v, %v", f, err)
	}
	if _, _, err = Read(r); err != io.EOF {
		t.Fatalf("Read at the end = %v", err)
	}
	for n := 1; n < strings.Index(whole, `{"kind":"bye"`); n++ {
		if _, _, err := Read(bufio.NewReader(strings.NewReader(whole[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Fatalf("Read of %d bytes = %v", n, err)
		} else if err == io.EOF {
			t.Fatalf("Read of %d bytes takes half a frame for the end", n)
		}
	}
	for _, bad := range []string{"no json\n", `{"size":-1}` + "\n", `{"size":999999999999}` + "\n"} {
		if _, _, err := Read(bufio.NewReader(strings.NewReader(bad))); !errors.Is(err, ErrNoFrame) {
			t.Errorf("Read(%q) = %v", bad, err)
		}
	}
	endless := strings.NewReader(strings.Repeat("x", 4*maxHeader))
	if _, _, err := Read(bufio.NewReader(endless)); !errors.Is(err, ErrNoFrame) || endless.Len() < 2*maxHeader {
		t.Errorf("Read of a header without end = %.100v, and left %d bytes", err, endless.Len())
	}
}
