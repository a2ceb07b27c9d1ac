//go:build linux

package main

import (
	"io"
	"os"

	"github.com/efd-go/efd/internal/plain"
	"golang.org/x/sys/unix"
)

// output is standard output with its first error kept.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// behind is what an output writes to.
func behind(w io.Writer) io.Writer {
	switch o := w.(type) {
	case *output:
		return o.Writer
	case *plain.Writer:
		return o.W
	}
	return w
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := behind(w).(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// colour reports whether what goes to w may be coloured: on a terminal, and
// never with NO_COLOR set.
func colour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}
