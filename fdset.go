//go:build linux

package efd

import (
	"iter"
	"math"
	"math/bits"
	"os"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// fdWord is the unsigned long that the kernel's fd_set is made of.
type fdWord = uint

const (
	fdWordBits = bits.UintSize
	lowWords   = unix.FD_SETSIZE / fdWordBits

	// maxFD is the largest number that fs.nr_open can allow.
	maxFD = math.MaxInt32 &^ 63
)

// FDSet is a set of descriptor numbers, an fd_set of any size. The zero value is
// empty. See select(2).
//
// Numbers below 1,024 lie in the FDSet itself, so that it allocates nothing, and
// a copy by assignment is as good as Clone. A set with a larger number keeps all
// of them on the heap. A copy by assignment is independent there too, and costs
// an allocation with the first change. One kind of set it does not fit: one with
// such a number that CopyFrom or Select wrote, and that they write again without
// an allocation. Once one of such a set and its copies has changed, the others
// are refused: Select returns EINVAL, and the methods panic. Clone has no such rule.
type FDSet struct {
	_     [0]func() // == would compare addresses
	low   [lowWords]fdWord
	high  uint      // no word of low above this one has a bit
	large *largeFDs // all numbers, once one is too large for low
	turn  uint      // large.turn as of this FDSet's last change
}

// largeFDs is shared by copies of a set. The kernel requires the bits of a set
// in one piece, so these are all of them.
type largeFDs struct {
	words []fdWord
	work  bool // changed in place; else a change makes new ones
	turn  uint // counts the changes
}

const staleFDSet = "efd: FDSet: a copy by assignment shares its numbers, and has changed them: want Clone or CopyFrom"

var errStaleFDSet = &argError{staleFDSet[len("efd: "):], unix.EINVAL}

// wordsFor is how many words have room for n bits.
func wordsFor(n int) int { return (n + fdWordBits - 1) / fdWordBits }

// stale reports whether another FDSet has changed the bits that s shared with
// it.
func (s *FDSet) stale() bool { return s != nil && s.large != nil && s.large.turn != s.turn }

// words are the bits, to be read.
func (s *FDSet) words() []fdWord {
	switch {
	case s == nil:
		return nil
	case s.large == nil:
		return s.low[:]
	case s.large.turn != s.turn:
		panic(staleFDSet)
	}
	return s.large.words
}

// edit returns the bits, n words of them at least, to be changed. work has them
// be the set's own for the changes to come.
func (s *FDSet) edit(n int, work bool) []fdWord {
	old := s.words()
	switch {
	case s.large == nil && n <= lowWords:
		return old
	case s.large != nil && s.large.work && n <= len(old):
		s.large.turn++
		s.turn++
		return old
	}
	work = work || s.large != nil && s.large.work
	words := newWords(max(n, len(old)))
	copy(words, old)
	s.large, s.turn = &largeFDs{words: words, work: work}, 0
	return words
}

// newWords has n words at least, in steps, since sets grow.
func newWords(n int) []fdWord { return make([]fdWord, (n+lowWords-1)/lowWords*lowWords) }

// Add puts fd into the set. Errors: EBADF, fd is negative, or above the largest
// value that fs.nr_open can allow; [os.ErrInvalid], the FDSet is nil.
func (s *FDSet) Add(fd int) error {
	switch {
	case s == nil:
		return os.ErrInvalid
	case s.large == nil && uint(fd) < unix.FD_SETSIZE:
		i := uint(fd) / fdWordBits
		s.low[i] |= 1 << (uint(fd) % fdWordBits)
		s.high = max(s.high, i)
		return nil
	case fd < 0 || fd >= maxFD:
		return badArg(unix.EBADF, "FDSet.Add: fd %d: want 0 to %d", fd, maxFD-1)
	case !s.Has(fd):
		s.edit(fd/fdWordBits+1, false)[fd/fdWordBits] |= 1 << (fd % fdWordBits)
	}
	return nil
}

// Remove takes fd out of the set.
func (s *FDSet) Remove(fd int) {
	if s.Has(fd) {
		s.edit(0, false)[fd/fdWordBits] &^= 1 << (fd % fdWordBits)
	}
}

// Has reports whether fd is in the set.
func (s *FDSet) Has(fd int) bool {
	return fd >= 0 && word(s.words(), fd/fdWordBits)&(1<<(fd%fdWordBits)) != 0
}

// Clear empties the set.
func (s *FDSet) Clear() {
	switch {
	case s == nil:
	case s.large != nil && s.large.work && !s.stale():
		clear(s.edit(0, true))
	default:
		*s = FDSet{}
	}
}

// Clone returns a copy that shares nothing with the set. Below 1,024 it
// allocates nothing.
func (s *FDSet) Clone() FDSet {
	var c FDSet
	c.CopyFrom(s)
	if c.large != nil {
		c.large.work = false
	}
	return c
}

// CopyFrom makes s a copy of o. It reuses the memory of s, so that a loop that
// copies its set and selects allocates nothing.
func (s *FDSet) CopyFrom(o *FDSet) {
	from := o.words()
	from = from[:wordsFor(o.nfds())]
	to := s.overwrite(len(from))
	clear(to[copy(to, from):])
}

// overwrite returns n words of s, or more, whose content does not count.
func (s *FDSet) overwrite(n int) []fdWord {
	switch {
	case s.large != nil && s.large.work && !s.stale() && n <= len(s.large.words):
		return s.edit(0, true)
	case n <= lowWords:
		s.large, s.high = nil, uint(max(n, 1)-1)
		return s.low[:]
	}
	s.large, s.turn = &largeFDs{words: newWords(n), work: true}, 0
	return s.large.words
}

// Len is the number of descriptors in the set.
func (s *FDSet) Len() int {
	n := 0
	for _, w := range s.words() {
		n += bits.OnesCount(w)
	}
	return n
}

// All yields the descriptors, ascending.
func (s *FDSet) All() iter.Seq[int] { return func(yield func(int) bool) { eachFD(s.words(), yield) } }

// eachFD yields the numbers whose bits are set.
func eachFD(words []fdWord, yield func(int) bool) {
	for i, w := range words {
		for ; w != 0; w &= w - 1 {
			if !yield(i*fdWordBits + bits.TrailingZeros(w)) {
				return
			}
		}
	}
}

// String is the set as strace prints it: "[0 3 1027]".
func (s FDSet) String() string { return uapi.FDSet(s.All()) }

// nfds is 1 above the highest descriptor in the set.
func (s *FDSet) nfds() int {
	if s == nil {
		return 0
	}
	return s.top()
}

func (s *FDSet) top() int {
	words := s.low[:s.high+1]
	if s.large != nil {
		words = s.words()
	}
	for i := len(words) - 1; i >= 0; i-- {
		if w := words[i]; w != 0 {
			return i*fdWordBits + bits.Len(w)
		}
	}
	return 0
}

// upTo is the set's words for n bits, to be changed; nil for no set.
func (s *FDSet) upTo(n int) []fdWord {
	if s == nil {
		return nil
	}
	n = wordsFor(n)
	if s.large == nil && n <= lowWords {
		return s.low[:n]
	}
	return s.edit(n, true)[:n]
}

// shares reports whether the two sets are one, or have one content.
func (s *FDSet) shares(o *FDSet) bool {
	return s != nil && o != nil && (s == o || s.large != nil && s.large == o.large)
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
