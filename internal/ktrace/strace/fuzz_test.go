//go:build linux

package strace

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

// Whatever comes in comes out, and nothing is fatal.
func FuzzReader(f *testing.F) {
	for _, name := range logs(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 6000)])
	}
	for _, s := range brokenLogs {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in), 0)
		var out []byte
		for {
			rec, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, rec.Raw...)
			for _, a := range rec.Call.Args {
				ParseFD(a)
				PollFDs(a, func(PollFD) {})
				FDSet(a, func(fd FD) { fd.Kind(); fd.Eventfd() })
				EpollEvents(a, func([]byte, uint64) {})
				Timespec(a, 1)
				eightBytes(a)
				Order(a)
				Has(a, "POLLIN", 1)
			}
		}
		if !bytes.Equal(in, out) {
			t.Errorf("the records' bytes are not the input's:\n%q\n%q", in, out)
		}
	})
}
