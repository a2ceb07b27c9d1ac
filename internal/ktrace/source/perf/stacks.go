//go:build linux

package perf

import (
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
)

// maxStacks bounds the memory of stacks: beyond it all are forgotten and
// resolved again.
const maxStacks = 1 << 11

// Stacks turns chains of addresses into frames. A program takes the same few
// hundred ways through the kernel again and again, so each is resolved once
// and then shared by all events that have it.
type Stacks struct {
	syms *ksym.Table
	seen map[uint64][]known
	n    int
}

type known struct {
	ips    []uint64
	frames []ktrace.Frame
}

// NewStacks resolves with syms. Without symbols every stack is empty.
func NewStacks(syms *ksym.Table) *Stacks {
	return &Stacks{syms: syms, seen: map[uint64][]known{}}
}

// Frames returns the frames of a chain, leaf first, without those of the
// tracing machinery. The result is shared and not to be changed.
func (s *Stacks) Frames(ips []uint64) []ktrace.Frame {
	if s.syms == nil || len(ips) == 0 {
		return nil
	}
	h := uint64(14695981039346656037)
	for _, ip := range ips {
		h = (h ^ ip) * 1099511628211
	}
	for _, k := range s.seen[h] {
		if equal(k.ips, ips) {
			return k.frames
		}
	}
	if s.n >= maxStacks {
		clear(s.seen)
		s.n = 0
	}
	k := known{append([]uint64(nil), ips...), s.resolve(ips)}
	s.seen[h] = append(s.seen[h], k)
	s.n++
	return k.frames
}

func (s *Stacks) resolve(ips []uint64) []ktrace.Frame {
	if len(ips) > 1 && ips[0] == ips[1] {
		ips = ips[1:] // some kernels give the first frame twice
	}
	frames := make([]ktrace.Frame, len(ips))
	for i, ip := range ips {
		frames[i] = s.syms.Resolve(ip, i == 0)
	}
	return trim(frames)
}

// trim drops the leaf frames that are there only because the kernel is traced.
// It stops at the first that is not: the same functions further out belong to a
// thread that was being traced itself when an interrupt hit it, and the frames
// above them are the interrupt.
func trim(frames []ktrace.Frame) []ktrace.Frame {
	cut := 0
	// Some kernels put the traced function first, and then again after the
	// tracing functions.
	if n := machineryFrom(frames, 1); n > 1 && n < len(frames) && frames[n].Name == frames[0].Name {
		cut = n
	}
	return frames[max(cut, machineryFrom(frames, 0)):]
}

// machineryFrom returns the end of the run of machinery that begins at frame
// i. Trampolines without a name may lie before it.
func machineryFrom(frames []ktrace.Frame, i int) int {
	end := i
	for ; i < len(frames); i++ {
		switch name := frames[i].Name; {
		case machinery(name):
			end = i + 1
		case name != "":
			return end
		}
	}
	return end
}

func machinery(name string) bool {
	for _, p := range [...]string{"perf_trace_", "__traceiter_", "trace_event_raw_event_", "__bpf_trace_", "__do_trace_", "perf_tp_event", "perf_swevent_"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
