//go:build linux

package efd

import (
	"math/bits"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// tableSize is a size that the process's descriptor table is known to have: it
// does not shrink. The kernel makes it with a word of numbers.
var tableSize atomic.Int64

func init() { tableSize.Store(fdWordBits) }

// refuseEndless refuses an endless wait for numbers none of which is open: above
// the descriptor table the kernel does not find out.
func refuseEndless(r, w, x []fdWord) error {
	lowest := -1
	for i := range max(len(r), len(w), len(x)) {
		for all := word(r, i) | word(w, i) | word(x, i); all != 0; all &= all - 1 {
			fd := i*fdWordBits + bits.TrailingZeros(all)
			if int64(fd) < tableSize.Load() {
				return nil // the kernel tests it
			}
			if _, errno := callFcntl(fd, unix.F_GETFD, 0); errno == 0 {
				tableSize.Store(int64(fd) + 1)
				return nil
			}
			if lowest < 0 {
				lowest = fd
			}
		}
	}
	if lowest < 0 {
		return nil
	}
	return notOpen(lowest)
}

func notOpen(fd int) error {
	return &callError{sprintf("Select: fd %d in a set: want open descriptors", fd), opPselect6.fail(unix.EBADF)}
}
