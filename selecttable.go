//go:build linux

package efd

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// tableSize is a size that the process's descriptor table is known to have: it
// does not shrink. The kernel makes it with a word of numbers.
var tableSize atomic.Int64

func init() { tableSize.Store(fdWordBits) }

// tableHas notes that the table has n numbers.
func tableHas(n int) {
	if int64(n) > tableSize.Load() { // of two stores either may be kept
		tableSize.Store(int64(n))
	}
}

// aboveTable has the sets of a Select whose highest number may be above the
// descriptor table, where the kernel does not test whether it is open.
type aboveTable [3][]fdWord

// newAboveTable refuses a wait for such a number that is not open. A call that
// does not wait shows it by bits that it leaves.
func newAboveTable(sleeps bool, nfds int, r, w, x []fdWord) (*aboveTable, error) {
	if !sleeps {
		return &aboveTable{slices.Clone(r), slices.Clone(w), slices.Clone(x)}, nil
	}
	if fd := nfds - 1; fd < openLimit() {
		if _, errno := callFcntl(fd, unix.F_GETFD, 0); errno != 0 {
			return nil, notOpen(fd)
		}
		tableHas(nfds)
	}
	return nil, nil
}

// end refuses stale, the lowest number above the table, -1 for none, and then
// restores the sets.
func (a *aboveTable) end(stale, nfds int, r, w, x []fdWord) error {
	switch {
	case stale < 0:
		tableHas(nfds)
		return nil
	case stale >= openLimit():
		return nil
	}
	copy(r, a[0])
	copy(w, a[1])
	copy(x, a[2])
	return notOpen(stale)
}

func notOpen(fd int) error {
	return &callError{sprintf("Select: fd %d in a set: want open descriptors", fd), opPselect6.fail(unix.EBADF)}
}

// openLimit is the lowest number that the process cannot open.
func openLimit() int {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return maxFD
	}
	return int(min(lim.Cur, maxFD))
}
