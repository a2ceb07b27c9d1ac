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

// repeats has calls as they were parsed, by their text: what waits makes the
// same few calls again and again.
type repeats struct {
	seen [maxRepeats]uint64 // hash of the last text that came to a place
	kept [maxRepeats]*repeat
}

// repeat is a call that came twice. Its slices are of text.
type repeat struct {
	text  []byte
	call  Call
	timed bool // it is the same call with a duration behind it
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
	hash := hashOf(text)
	at := hash % maxRepeats
	if k := r.repeats.kept[at]; k != nil && bytes.Equal(k.text, text) && (k.timed || duration < 0) {
		args := append(c.Args[:0], k.call.Args...)
		*c = k.call
		c.Args, c.Duration = args, duration
		return true
	}
	if r.repeats.seen[at] == hash {
		r.keepCall(int(at), text)
	}
	r.repeats.seen[at] = hash
	return r.parseText(c, s)
}

// keepCall parses a text to be found again. Records may have slices of what was
// in its place before.
func (r *Reader) keepCall(at int, text []byte) {
	k := &repeat{text: append(make([]byte, 0, len(text)+len(longer)), text...), call: Call{Duration: -1}}
	if !r.parseText(&k.call, k.text) || k.call.Duration >= 0 {
		return
	}
	with := Call{Duration: -1}
	r.parseText(&with, append(k.text, longer...))
	k.timed = k.call.Whole && with.Whole && with.Duration == 1000 && len(with.Args) == len(k.call.Args) &&
		len(with.Result) == len(k.call.Result) && len(with.Note) == len(k.call.Note) && with.Errno == k.call.Errno
	k.fd, k.isFD = k.call.firstFD()
	k.value, k.isValue = k.call.eightBytes()
	k.call.kept = k
	r.repeats.kept[at] = k
}

// longer is a duration as -T prints it.
const longer = " <0.000001>"

// cutDuration cuts what -T prints off a call; -1 if there is none.
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
