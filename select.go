package efd

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
	"time"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// fdWord is the unsigned long that the kernel's fd_set is made of.
type fdWord = uint

const fdWordBits = bits.UintSize

// maxFD is the largest number that fs.nr_open can allow.
const maxFD = math.MaxInt32 &^ 63

// FDSet is a set of descriptor numbers, an fd_set of any size. The zero value is
// empty. A copy shares its content with the original until one of them grows.
// See select(2).
type FDSet struct{ words []fdWord }

// Add puts fd into the set, which takes fd/8 bytes. Errors: EBADF, fd is
// negative, or above what fs.nr_open can allow.
func (s *FDSet) Add(fd int) error {
	if i := uint(fd) / fdWordBits; i < uint(len(s.words)) {
		s.words[i] |= 1 << (uint(fd) % fdWordBits)
		return nil
	}
	return s.addGrown(fd)
}

func (s *FDSet) addGrown(fd int) error {
	if fd < 0 || fd >= maxFD {
		return badArg(unix.EBADF, "FDSet.Add: fd %d: want 0 to %d", fd, maxFD-1)
	}
	s.grow(fd/fdWordBits + 1)
	s.words[fd/fdWordBits] |= 1 << (fd % fdWordBits)
	return nil
}

func (s *FDSet) grow(n int) {
	if n > len(s.words) {
		s.words = append(s.words, make([]fdWord, n-len(s.words))...)
	}
}

// Remove takes fd out of the set.
func (s *FDSet) Remove(fd int) {
	if fd >= 0 && fd/fdWordBits < len(s.words) {
		s.words[fd/fdWordBits] &^= 1 << (fd % fdWordBits)
	}
}

// Has reports whether fd is in the set.
func (s *FDSet) Has(fd int) bool {
	return fd >= 0 && fd/fdWordBits < len(s.words) && s.words[fd/fdWordBits]&(1<<(fd%fdWordBits)) != 0
}

// Clear empties the set.
func (s *FDSet) Clear() { clear(s.words) }

// Len is the number of descriptors in the set.
func (s *FDSet) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount(w)
	}
	return n
}

// All yields the descriptors, ascending.
func (s *FDSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s.words {
			for ; w != 0; w &= w - 1 {
				if !yield(i*fdWordBits + bits.TrailingZeros(w)) {
					return
				}
			}
		}
	}
}

// String is the set as strace prints it: "[0 3 1027]".
func (s *FDSet) String() string { return uapi.FDSet(s.All()) }

// nfds is 1 above the highest descriptor in the set.
func (s *FDSet) nfds() int {
	if s == nil {
		return 0
	}
	for i := len(s.words) - 1; i >= 0; i-- {
		if w := s.words[i]; w != 0 {
			return i*fdWordBits + bits.Len(w)
		}
	}
	return 0
}

// upTo is the set's words, grown to hold n bits; nil for no set.
func (s *FDSet) upTo(n int) []fdWord {
	if s == nil {
		return nil
	}
	n = (n + fdWordBits - 1) / fdWordBits
	s.grow(n)
	return s.words[:n]
}

var errSameSet = badArg(unix.EINVAL, "Select: one FDSet given twice")

// Select waits until a descriptor in r is readable, one in w writable, or one
// in x has an exceptional condition; nil is no set. It returns how many are,
// one in two sets counted twice. On success the sets hold exactly those: a
// number above the process's descriptor table, which the kernel does not look
// at, is cleared too. On an error they are unchanged. n is 0 when the time is
// over. Timeout and mask are as in [Poll]. It is one pselect6(2).
//
// Errors: EBADF, a set has a number that is not open, which fcntl(2) then finds
// out; EINVAL, one FDSet is given twice; ENOMEM; *[InterruptedError].
func Select(r, w, x *FDSet, timeout time.Duration, mask *SigSet) (n int, err error) {
	if r != nil && (r == w || r == x) || w != nil && w == x {
		return 0, errSameSet
	}
	nfds := max(r.nfds(), w.nfds(), x.nfds())
	rw, ww, xw := r.upTo(nfds), w.upTo(nfds), x.upTo(nfds)
	var l limit
	var buf SigSet
	ts, blocked := l.set(timeout), waitMask(mask, &buf)
	if mask != nil && timeout > 0 {
		l.start()
	}
	n, errno := callPselect6(nfds, rw, ww, xw, ts, blocked)
	if errno != 0 {
		if n, err = repeatPselect6(errno, nfds, rw, ww, xw, &l, mask, blocked); err != nil {
			return 0, err
		}
	}
	clearStale(n, rw, ww, xw)
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
				return &callError{fmt.Sprintf("Select: fd %d in a set: want open descriptors", fd), err}
			}
		}
	}
	return err
}

// clearStale clears the bits above the descriptor table, which the kernel
// neither tests nor clears. What it reports is n bits below them. The sets have
// one length, or none.
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

// ones is how many bits word i of the set has.
func ones(s []fdWord, i int) int { return bits.OnesCount(word(s, i)) }

// word is word i of the set, 0 beyond its end.
func word(s []fdWord, i int) fdWord {
	if i < len(s) {
		return s[i]
	}
	return 0
}
