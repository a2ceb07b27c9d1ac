//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bar is the one line on a terminal that says how far the tests are.
type bar struct {
	w        io.Writer // nil if there is no terminal
	packages int       // that have ended
	shown    time.Time
	drawn    bool
}

func newBar(f *os.File) *bar {
	b := &bar{}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil && os.Getenv("TERM") != "dumb" {
		b.w = f
	}
	return b
}

// show draws the line, at most five times a second.
func (b *bar) show(r *run, e *event) {
	if b.w == nil || time.Since(b.shown) < time.Second/5 {
		return
	}
	b.shown, b.drawn = time.Now(), true
	at := e.Package[strings.LastIndexByte(e.Package, '/')+1:] + " " + e.Test
	line := fmt.Sprintf("%d packages done, %d tests passed, %d failed, %d skipped; %s", b.packages, r.Passed, r.Failed, r.Skipped, at)
	fmt.Fprintf(b.w, "\r\x1b[K%.79s", line)
}

func (b *bar) clear() {
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.drawn = false
	}
}
