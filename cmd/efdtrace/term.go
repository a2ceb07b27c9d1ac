//go:build linux

package main

import (
	"cmp"
	"io"
	"os"
	"strconv"
	"strings"

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

// underlying returns the writer of an output.
func underlying(w io.Writer) io.Writer {
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
	f, ok := underlying(w).(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// colour reports whether the output to w may be coloured: on a terminal, and
// never with NO_COLOR set.
func colour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

// columns is the width to which sentences for w are wrapped: that of COLUMNS, or
// of the terminal, from 60 to 160; 0 if w is no terminal.
func columns(w io.Writer) int {
	n, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil || n <= 0 {
		f, ok := underlying(w).(*os.File)
		if !ok {
			return 0
		}
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil || size.Col == 0 {
			return 0
		}
		n = int(size.Col)
	}
	return min(max(n, 60), 160)
}

// utf8Locale reports whether the locale's characters are those of UTF-8. No
// locale at all says nothing, as under a service manager.
func utf8Locale() bool {
	name := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return name == "" || strings.Contains(name, "utf-8") || strings.Contains(name, "utf8")
}
