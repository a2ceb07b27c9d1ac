//go:build linux

package strace

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"
)

// blockSize is how much is read at once, and the length of the later pieces of
// an over-long line.
const blockSize = 256 << 10

// patience is how long a line waits for the ones behind it if their coming
// decides what it is.
const patience = 100 * time.Millisecond

// input has a log in a buffer, in which lines are found in place.
type input struct {
	in     io.Reader
	buf    []byte
	r, w   int // buf[r:w] has not been taken
	err    error
	before func()
	idle   func(time.Duration) bool
}

// fill reads once more. It reports false at the end of the log. What is in the
// buffer may move.
func (in *input) fill() bool {
	if in.err != nil {
		return false
	}
	if len(in.buf)-in.w < blockSize/4 && in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	if len(in.buf)-in.w < blockSize/4 {
		in.buf = slices.Grow(in.buf[:in.w], max(blockSize, in.w))
		in.buf = in.buf[:cap(in.buf)]
	}
	if in.before != nil {
		in.before()
	}
	for range 100 {
		n, err := in.in.Read(in.buf[in.w:])
		in.w += n
		in.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	in.err = io.ErrNoProgress
	return false
}

// next returns the length of the next line with its end, or of a piece of at
// most limit bytes of one that is longer. At the end it is 0.
func (in *input) next(limit int) (n int, part bool) {
	for seen := 0; ; {
		if i := bytes.IndexByte(in.buf[in.r+seen:in.w], '\n'); i >= 0 && seen+i < limit {
			return seen + i + 1, false
		}
		if seen = in.w - in.r; seen >= limit {
			return limit, true
		}
		if !in.fill() {
			return in.w - in.r, false
		}
	}
}

// take returns the next n bytes, which stay until the next call of fill.
func (in *input) take(n int) []byte {
	in.r += n
	return in.buf[in.r-n : in.r]
}

// peek returns the line that begins from bytes behind those that are taken,
// with its end. It waits no longer than patience, and not at all without wait.
func (in *input) peek(from int, wait bool) ([]byte, bool) {
	for {
		if rest := in.buf[min(in.r+from, in.w):in.w]; len(rest) > 0 {
			if i := bytes.IndexByte(rest, '\n'); i >= 0 {
				return rest[:i+1], true
			}
			if in.err != nil || len(rest) > blockSize {
				return rest, true
			}
		}
		if !wait || in.idle != nil && in.err == nil && in.idle(patience) || !in.fill() && in.w <= in.r+from {
			return nil, false
		}
	}
}

// failed is the error that ended the log, nil if it was io.EOF.
func (in *input) failed() error {
	if errors.Is(in.err, io.EOF) {
		return nil
	}
	return in.err
}
