package perf

import "time"

// twins finds records that say the same thing again. Where events belong to
// tasks, the kernel records a wake for the waker and for the woken, and every
// record of a thread that was attached to and had inherited already comes
// twice. Each copy comes from another stream, within the same moment, on the
// same CPU; a stream that speaks again reports something new.
type twins struct {
	recent [4]twin // interrupts put other records between two copies
	next   int
}

type twin struct {
	mark    uint64 // hash of what the record says
	time    int64
	streams []uint64
}

// twinWindow is how far apart the copies of one record can be: a virtual CPU
// may be taken away between them.
const twinWindow = int64(50 * time.Millisecond)

func (t *twins) again(s *Sample) bool {
	h := uint64(14695981039346656037)
	mix := func(v uint64) { h = (h ^ v) * 1099511628211 }
	mix(uint64(s.TID))
	for _, b := range s.Raw {
		mix(uint64(b))
	}
	for _, ip := range s.Chain {
		mix(ip)
	}
	for i := range t.recent {
		w := &t.recent[i]
		if w.mark != h || s.Time-w.time > twinWindow {
			continue
		}
		for _, st := range w.streams {
			if st == s.StreamID {
				w.time, w.streams = s.Time, append(w.streams[:0], s.StreamID)
				return false
			}
		}
		w.streams = append(w.streams, s.StreamID)
		return true
	}
	w := &t.recent[t.next]
	t.next = (t.next + 1) % len(t.recent)
	w.mark, w.time, w.streams = h, s.Time, append(w.streams[:0], s.StreamID)
	return false
}
