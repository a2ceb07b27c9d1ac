//go:build linux

package explain

import (
	"bytes"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// sameOrigin ends the loops of a thread if a line is from elsewhere than the
// lines before: what is pasted together from several logs is no repetition.
func (x *Explainer) sameOrigin(rec *strace.Record, th *thread) {
	if rec.Type != strace.CallLine {
		return
	}
	i := bytes.Index(rec.Raw, []byte(rec.Call.Name))
	if i < 0 {
		return // it was wrapped
	}
	shape := prefixShape(rec.Raw[:i])
	h := &th.habits
	if h.shaped && shape != h.shape {
		h.sleeps++
	}
	h.shape, h.shaped = shape, true
}

// prefixShape is what stands before a call, whatever its numbers and names are.
func prefixShape(prefix []byte) uint32 {
	shape, last := uint32(2166136261), byte(0)
	for _, c := range prefix {
		switch {
		case c >= '0' && c <= '9':
			c = '0'
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			c = 'a'
		}
		if c != last || c != '0' && c != 'a' && c != ' ' {
			shape = (shape ^ uint32(c)) * 16777619
		}
		last = c
	}
	return shape
}
