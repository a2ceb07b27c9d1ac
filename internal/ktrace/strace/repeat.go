//go:build linux

package strace

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The bounds of the calls that are kept.
const (
	maxRepeats = 1 << 10
	maxRepeat  = 512 // bytes of a call
)

// repeats has calls as they were parsed, by their text: a program that waits makes the
// same few calls again and again.
type repeats struct {
	seen [maxRepeats]uint64 // hash of the last text that came to a place
	kept [maxRepeats]*repeat
}

// repeat is a call that came twice. Its slices are of text.
type repeat struct {
	text  []byte
	call  Call
	tried bool // timed is known
	timed bool // it is the same call with a duration at its end
	sound bool // its strings end, and markup has not put backslashes into it

	fd      FD // that the first argument is
	isFD    bool
	value   [8]byte // that the second argument has
	isValue bool
}

// FD reads the first argument as a descriptor.
func (c *Call) FD() (FD, bool) {
	if c.kept != nil {
		return c.kept.fd, c.kept.isFD
	}
	return c.firstFD()
}

func (c *Call) firstFD() (FD, bool) {
	if len(c.Args) == 0 {
		return FD{}, false
	}
	return ParseFD(Value(c.Args[0]))
}

// Counter reads the 8 bytes that a read or write of an eventfd carries in its
// second argument, in the byte order of the log's machine.
func (c *Call) Counter(order binary.ByteOrder) (uint64, bool) {
	if c.kept == nil {
		b, ok := c.eightBytes()
		return counter(b, order), ok
	}
	return counter(c.kept.value, order), c.kept.isValue
}

func (c *Call) eightBytes() (b [8]byte, ok bool) {
	if len(c.Args) < 2 {
		return b, false
	}
	return eightBytes(Value(c.Args[1]))
}

// parseCall reads s, "name(args) = result", into c. It reports whether s is
// a call's text at all; Whole says whether all of it was understood.
func (r *Reader) parseCall(c *Call, s []byte) bool {
	if len(s) > maxRepeat {
		return r.parseText(c, s)
	}
	text, duration := cutDuration(s)
	k := r.again(text)
	if k == nil || duration >= 0 && !r.endsIn(k) {
		return r.parseText(c, s)
	}
	args := append(c.Args[:0], k.call.Args...)
	*c = k.call
	c.Args, c.Duration = args, duration
	return true
}

// again returns the call of a text, nil if it comes for the first time. One that
// another takes the place of stays as it is: records may have its slices.
func (r *Reader) again(text []byte) *repeat {
	hash := hashOf(text)
	at := hash % maxRepeats
	if k := r.repeats.kept[at]; k != nil && bytes.Equal(k.text, text) {
		return k
	}
	if r.repeats.seen[at] != hash {
		r.repeats.seen[at] = hash
		return nil
	}
	k := &repeat{text: append(make([]byte, 0, len(text)+len(longer)), text...), call: Call{Duration: -1}}
	if !r.parseText(&k.call, k.text) || k.call.Duration >= 0 {
		return nil
	}
	k.fd, k.isFD = k.call.firstFD()
	k.value, k.isValue = k.call.eightBytes()
	k.call.kept = k
	r.repeats.kept[at] = k
	return k
}

// endsIn reports whether a duration after a call is no part of anything else.
func (r *Reader) endsIn(k *repeat) bool {
	if !k.tried {
		k.tried = true
		with, c := Call{Duration: -1}, &k.call
		r.parseText(&with, append(k.text, longer...))
		k.timed = c.Whole && with.Whole && with.Duration == 1000 && len(with.Args) == len(c.Args) &&
			len(with.Result) == len(c.Result) && len(with.Note) == len(c.Note) && with.Errno == c.Errno
	}
	return k.timed
}

// longer is a duration as -T prints it.
const longer = " <0.000001>"

// cutDuration cuts the duration of -T off a call; -1 if there is none.
func cutDuration(s []byte) (text []byte, ns int64) {
	if len(s) == 0 || s[len(s)-1] != '>' {
		return s, -1
	}
	i := bytes.LastIndexByte(s, '<')
	if i < 1 || s[i-1] != ' ' {
		return s, -1
	}
	in := s[i+1 : len(s)-1]
	sec, n := number(in)
	frac, fn := fraction(in[n:])
	if n == 0 || fn == 0 || n+fn != len(in) || sec > 1e9 {
		return s, -1
	}
	return s[:i-1], sec*1e9 + frac
}

// hashOf mixes a text, eight bytes at a time.
func hashOf(s []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := uint64(len(s)) * odd
	for ; len(s) >= 8; s = s[8:] {
		high, low := bits.Mul64(h^binary.LittleEndian.Uint64(s), odd)
		h = high ^ low
	}
	var rest uint64
	for _, c := range s {
		rest = rest<<8 | uint64(c)
	}
	high, low := bits.Mul64(h^rest, odd)
	return high ^ low
}
