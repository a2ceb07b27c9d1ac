//go:build linux

package explain

import (
	"iter"
	"math"
	"slices"
)

// table is a table of descriptors, shared by the threads of a process.
type table struct {
	low     []*descriptor       // by number
	high    map[int]*descriptor // from maxLow, and negative numbers
	opens   []int               // the numbers in high that are open, sorted
	guessed bool                // that these threads share it was not in the log
	threads int                 // that have it
	born    bool                // the log has the process's beginning, and so all its threads
	before  *table              // of the process before its execve
	newest  [2]made
	golang  bool     // its process is known to be a Go program
	poller  [2]*file // the epoll and the eventfd that are its poller if it is one
	activity
}

// activity counts the calls of the threads of a process.
type activity struct {
	moved   int  // transfers that went through
	served  int  // of them, on descriptors that the wait before had handed out
	refused int  // EAGAIN, and accepts that found no room
	handed  int  // wakes of other threads
	exits   bool // one of them has called exit_group
	waits   int  // poll, select and epoll_wait that returned
}

// maxLow bounds the room of a table that has one high number.
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
		t.shut(fd)
	default:
		if t.high == nil {
			t.high = map[int]*descriptor{}
		}
		t.high[fd] = d
		if i, there := slices.BinarySearch(t.opens, fd); !there {
			t.opens = slices.Insert(t.opens, i, fd)
		}
	}
}

// shut takes a number from those that are open.
func (t *table) shut(fd int) {
	if i, there := slices.BinarySearch(t.opens, fd); there {
		t.opens = slices.Delete(t.opens, i, i+1)
	}
}

// close ends a descriptor in a line of the log.
func (d *descriptor) close(line int) {
	d.closed = line
	d.file.open--
	d.table.shut(d.fd)
}

// open has the descriptors from first to last that are open, in the order of
// their numbers. They may be closed between two of them.
func (t *table) open(first, last int) iter.Seq[*descriptor] {
	return func(yield func(*descriptor) bool) {
		for _, d := range t.low {
			if d != nil && d.closed == 0 && d.fd >= first && d.fd <= last && !yield(d) {
				return
			}
		}
		at, _ := slices.BinarySearch(t.opens, first)
		for at < len(t.opens) && t.opens[at] <= last {
			fd := t.opens[at]
			if !yield(t.high[fd]) {
				return
			}
			if at < len(t.opens) && t.opens[at] == fd {
				at++
			}
		}
	}
}

// has reports whether a descriptor of the table stands for a file.
func (t *table) has(f *file) bool {
	for d := range t.open(math.MinInt, math.MaxInt) {
		if d.file == f {
			return true
		}
	}
	return false
}

// leaves takes a thread from the table. With the last one, all that the process
// held is closed, or all of it that is close-on-exec. It returns each that was the
// last descriptor of its file.
func (t *table) leaves(line int, onExec bool) (last []*descriptor) {
	if t.threads--; t.threads > 0 || !t.born || t.guessed { // others may have it unseen
		return nil
	}
	for at := t; at != nil; at = at.before {
		for d := range at.open(math.MinInt, math.MaxInt) {
			if onExec && !d.cloexec {
				continue
			}
			if d.close(line); d.file.open <= 0 {
				last = append(last, d)
			}
		}
	}
	return last
}
