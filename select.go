//go:build linux

package efd

import (
	"math/bits"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errSameSet = badArg(unix.EINVAL, "Select: one FDSet given twice, or two that share their numbers: want Clone or CopyFrom")

// Select waits until a descriptor in r is readable, one in w writable, or one
// in x has an exceptional condition; nil is an empty set. It returns the number
// of ready descriptors, one in two sets counted twice. On success the sets hold
// exactly those: an fd above the process's descriptor table, which the kernel
// does not look at, is cleared too. On an error they are unchanged. n is 0 when
// the timeout expires. Timeout and mask are as in [Poll]. It is one
// pselect6(2).
//
// An fd that is not open is EBADF if it is inside the descriptor table, and is
// cleared if it is not. The kernel sets the size of the table: 64 fds at first,
// growing with the largest fd that was ever open. A wait without limit for such
// fds alone, which would not end, is EBADF whatever the size of the table: for
// sets without an fd in the part of the table that Select knows of, it makes an
// fcntl(2), F_GETFD, before, until one is open.
//
// Errors: EBADF, a set has a number that is not open, which fcntl(2) then finds
// out; EINVAL, one FDSet is given twice, or two that share their numbers, or one
// whose numbers a copy has changed (see [FDSet]); ENOMEM; *[InterruptedError].
func Select(r, w, x *FDSet, timeout time.Duration, mask *SigSet) (n int, err error) {
	switch {
	case r.shares(w) || r.shares(x) || w.shares(x):
		return 0, errSameSet
	case r.stale() || w.stale() || x.stale():
		return 0, errStaleFDSet
	}
	nfds := max(r.nfds(), w.nfds(), x.nfds())
	rw, ww, xw := r.upTo(nfds), w.upTo(nfds), x.upTo(nfds)
	if timeout < 0 && int64(nfds) > tableSize.Load() {
		if err := refuseEndless(rw, ww, xw); err != nil {
			return 0, err
		}
	}
	var l limit
	var buf SigSet
	ts, blocked := l.set(timeout), waitMask(mask, &buf)
	if mask != nil && timeout > 0 {
		l.start()
	}
	var errno unix.Errno
	if tracing.Load() == nil {
		arg := sigsetArg{blocked, sigsetSize}
		n, errno = sysPselect6(nfds, unsafe.SliceData(rw), unsafe.SliceData(ww), unsafe.SliceData(xw), ts, arg.pointer())
	} else {
		n, errno = callPselect6(nfds, rw, ww, xw, ts, blocked)
	}
	if errno != 0 {
		if n, err = repeatPselect6(errno, nfds, rw, ww, xw, &l, mask, blocked); err != nil {
			return 0, err
		}
	}
	if nfds > fdWordBits {
		clearStale(n, rw, ww, xw)
	}
	if n > 0 {
		raceSeen()
	}
	return n, nil
}

// repeatPselect6 goes on after a pselect6 that failed with errno, as
// repeatPpoll does.
func repeatPselect6(errno unix.Errno, nfds int, r, w, x []fdWord, l *limit, mask, blocked *SigSet) (n int, err error) {
	old := false
	for errno != 0 {
		switch {
		case errno == unix.EINTR && mask == nil:
		case errno == unix.EINTR:
			return 0, &InterruptedError{opNames[opPselect6], l.left()}
		case !timeFallback(old, errno):
			return 0, failPselect6(errno, r, w, x)
		}
		old = oldTime()
		n, errno = callPselect6(nfds, r, w, x, l.next(), blocked)
	}
	return n, nil
}

// failPselect6 is the error of a pselect6. The lowest number that is not open
// is below the descriptor table's end, and so is one that the kernel refused.
func failPselect6(errno unix.Errno, r, w, x []fdWord) error {
	err := opPselect6.fail(errno)
	if errno != unix.EBADF {
		return err
	}
	for i := range max(len(r), len(w), len(x)) {
		for all := word(r, i) | word(w, i) | word(x, i); all != 0; all &= all - 1 {
			fd := i*fdWordBits + bits.TrailingZeros(all)
			if _, errno := callFcntl(fd, unix.F_GETFD, 0); errno == unix.EBADF {
				return notOpen(fd)
			}
		}
	}
	return err
}

// clearStale clears the bits above the descriptor table, which the kernel
// neither tests nor clears: all after the n bits that it reported. The table
// has at least one word of numbers. The sets have one length, or none.
func clearStale(n int, r, w, x []fdWord) {
	for i := range max(len(r), len(w), len(x)) {
		if n <= 0 {
			clear(r[min(i, len(r)):])
			clear(w[min(i, len(w)):])
			clear(x[min(i, len(x)):])
			return
		}
		n -= ones(r, i) + ones(w, i) + ones(x, i)
	}
}
