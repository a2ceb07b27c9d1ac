//go:build linux

package efd

import (
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

// inTable refuses a wait for numbers below nfds, of which the highest may be above
// the descriptor table, if that one is not open: the kernel does not test it there.
// If it is open the table has it, and the kernel tests the others.
func inTable(nfds int) error {
	fd := nfds - 1
	if fd >= openLimit() {
		return nil
	}
	if _, errno := callFcntl(fd, unix.F_GETFD, 0); errno != 0 {
		return notOpen(fd)
	}
	tableHas(nfds)
	return nil
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
