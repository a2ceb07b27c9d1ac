//go:build linux

package explain

import (
	"iter"
	"maps"
	"slices"
)

// table is a table of descriptors, shared by the threads of a process.
type table struct {
	low     []*descriptor       // by number
	high    map[int]*descriptor // from maxLow, and negative numbers
	guessed bool                // that these threads share it was not in the log
	threads int                 // that have it
	born    bool                // the log has the process's beginning, and so all its threads
	before  *table              // of the process before its execve
	newest  [2]made
}

// maxLow bounds what a table takes that has one high number.
const maxLow = 64

func (t *table) get(fd int) *descriptor {
	if uint(fd) < uint(len(t.low)) {
		return t.low[fd]
	}
	return t.high[fd]
}

// set puts a descriptor at its number; nil takes it away.
func (t *table) set(fd int, d *descriptor) {
	switch {
	case uint(fd) < maxLow:
		if fd >= len(t.low) {
			t.low = append(t.low, make([]*descriptor, (fd|7)+1-len(t.low))...)
		}
		t.low[fd] = d
	case d == nil:
		delete(t.high, fd)
	default:
		if t.high == nil {
			t.high = map[int]*descriptor{}
		}
		t.high[fd] = d
	}
}

// all has the descriptors in the order of their numbers.
func (t *table) all() iter.Seq[*descriptor] {
	return func(yield func(*descriptor) bool) {
		for _, d := range t.low {
			if d != nil && !yield(d) {
				return
			}
		}
		for _, fd := range slices.Sorted(maps.Keys(t.high)) {
			if d := t.high[fd]; d != nil && !yield(d) {
				return
			}
		}
	}
}

// leaves takes a thread from the table. With the last one, what the process
// held is closed: all of it, or what is close-on-exec. It returns what was the
// last descriptor of its file.
func (t *table) leaves(line int, onExec bool) (last []*descriptor) {
	if t.threads--; t.threads > 0 || !t.born || t.guessed { // others may have it unseen
		return nil
	}
	for at := t; at != nil; at = at.before {
		for d := range at.all() {
			if d.closed != 0 || onExec && !d.cloexec {
				continue
			}
			d.closed = line
			if d.file.open--; d.file.open <= 0 {
				last = append(last, d)
			}
		}
	}
	return last
}
