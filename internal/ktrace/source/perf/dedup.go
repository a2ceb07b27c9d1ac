//go:build linux

package perf

import "time"

// dedup drops duplicate records. If events belong to tasks, the kernel records
// a wake for the waker and for the wakee, and every record of a thread that was
// attached to and had also inherited comes twice. Each copy comes from another
// stream, within the same moment, on the same CPU; a second record of the same
// stream is a new event. So is an equal record of another stream if the thread
// has done something else since the first: the kernel may swap the contexts of
// two threads, and with them their streams (perf_event_context_sched_out).
type dedup struct {
	recent [4]recentRecord // interrupts put other records between two copies
	next   int
}

type recentRecord struct {
	tid     int
	mark    uint64 // hash of the record's contents
	time    int64
	streams []uint64
}

// dedupWindow is how far apart the copies of one record can be: a virtual CPU
// may be taken away between them.
const dedupWindow = int64(50 * time.Millisecond)

// again reports whether a record was there before. A waking may be an
// interrupt's, in which the thread did nothing.
func (t *dedup) again(s *Sample, waking bool) bool {
	h := uint64(14695981039346656037)
	mix := func(v uint64) { h = (h ^ v) * 1099511628211 }
	mix(uint64(s.TID))
	for _, b := range s.Raw {
		mix(uint64(b))
	}
	for _, ip := range s.Chain {
		mix(ip)
	}
	if !waking {
		t.forget(s.TID, h)
	}
	for i := range t.recent {
		w := &t.recent[i]
		if w.mark != h || len(w.streams) == 0 || s.Time-w.time > dedupWindow {
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
	w.tid, w.mark, w.time, w.streams = s.TID, h, s.Time, append(w.streams[:0], s.StreamID)
	return false
}

// ran handles a thread that got the CPU: its next records are new.
func (t *dedup) ran(tid int) { t.forget(tid, 0) }

// forget drops a thread's records, except those with the mark.
func (t *dedup) forget(tid int, mark uint64) {
	for i := range t.recent {
		if w := &t.recent[i]; w.tid == tid && w.mark != mark {
			w.streams = w.streams[:0]
		}
	}
}
