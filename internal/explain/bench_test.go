//go:build linux

package explain

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/testenv"
)

// The speed of the text form over a log of nearly nothing but the calls in question.
func BenchmarkText(b *testing.B) {
	testenv.Tree(b, "../../testdata/strace")
	in, err := os.ReadFile("../../testdata/strace/v6.1-ftttT.txt")
	if err != nil {
		b.Fatal(err)
	}
	in = bytes.Repeat(in, 1024)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Text(io.Discard, strace.NewReader(bytes.NewReader(in), 0), New(), Options{FD: -1, Fold: true}); err != nil {
			b.Fatal(err)
		}
	}
}
