//go:build linux

package ktext

import "encoding/binary"

// decode hands the target of every direct call and jump to fn, conditional
// jumps too: compilers also use them to leave a function.
var decode = func(code []byte, base uint64, fn func(at, target uint64, jump bool)) {
	for pos := 0; pos < len(code); {
		in := decodeX86(code[pos:])
		if in.len == 0 {
			pos++ // data, or an instruction that is not known: try at the next byte
			continue
		}
		if in.branch {
			fn(base+uint64(pos), base+uint64(pos+in.len)+uint64(in.rel), !in.call)
		}
		pos += in.len
	}
}

// x86 is as much of an instruction as is asked for: where the next one
// begins, and where a direct branch goes.
type x86 struct {
	len    int   // 0: none, or cut off
	branch bool  // a direct call or jump
	call   bool  // of them a call
	rel    int64 // from the end of the instruction
}

// How the operands of an opcode are encoded.
const (
	modRM   = 1 << iota // a ModRM byte, with what it says follows
	imm8                // one byte
	imm16               // two
	immZ                // four, two with the prefix 66
	immV                // as immZ, eight with REX.W
	moffs               // an address
	group3              // imm8 or immZ as ModRM says: test has it, not and neg have none
	jump                // the immediate is a distance to jump
	call                // ... or to call
	invalid             // none in 64-bit mode
)

// one has the opcodes of one byte, two those behind 0f.
var one, two = oneByte(), twoByte()

func oneByte() (t [256]uint16) {
	set := func(how uint16, ops ...int) {
		for _, op := range ops {
			t[op] = how
		}
	}
	for op := 0; op < 0x40; op += 8 { // add, or, adc, sbb, and, sub, xor, cmp
		set(modRM, op, op+1, op+2, op+3)
		set(imm8, op+4)
		set(immZ, op+5)
		set(invalid, op+6, op+7)
	}
	for op := range 16 {
		t[0x70+op] = imm8 | jump // jcc
		t[0x84+op%12] = modRM    // test, xchg, mov, lea, pop
		t[0xb0+op] = imm8        // mov
	}
	for op := range 8 {
		t[0xb8+op] = immV  // mov
		t[0xd8+op] = modRM // x87
	}
	set(invalid, 0x60, 0x61, 0x62, 0x82, 0x9a, 0xc4, 0xc5, 0xce, 0xd4, 0xd5, 0xd6, 0xea)
	set(modRM, 0x63, 0xd0, 0xd1, 0xd2, 0xd3, 0xfe, 0xff)
	set(immZ, 0x68, 0xa9)
	set(modRM|immZ, 0x69, 0x81, 0xc7)
	set(imm8, 0x6a, 0xa8, 0xcd, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7)
	set(modRM|imm8, 0x6b, 0x80, 0x83, 0xc0, 0xc1, 0xc6)
	set(moffs, 0xa0, 0xa1, 0xa2, 0xa3)
	set(imm16, 0xc2, 0xca)
	set(imm16|imm8, 0xc8)
	set(immZ|call, 0xe8)
	set(immZ|jump, 0xe9)
	set(imm8|jump, 0xeb)
	set(modRM|group3, 0xf6, 0xf7)
	return t
}

func twoByte() (t [256]uint16) {
	for op := range t {
		t[op] = modRM
	}
	for op := range 16 {
		t[0x80+op] = immZ | jump // jcc
	}
	for _, op := range []int{0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa,
		0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf} {
		t[op] = 0
	}
	for _, op := range []int{0x0f, 0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6} {
		t[op] = modRM | imm8
	}
	for _, op := range []int{0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f} {
		t[op] = invalid
	}
	return t
}

// decodeX86 decodes the instruction at the start of code, in 64-bit mode.
func decodeX86(code []byte) x86 {
	c := cursor{code: code}
	short, wide, narrow := false, false, false // the prefixes 66, REX.W and 67
	b := c.byte()
	for ; ; b = c.byte() {
		switch b {
		case 0x66:
			short = true
		case 0x67:
			narrow = true
		case 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65:
		default:
			goto opcode
		}
	}
opcode:
	if b&0xf0 == 0x40 {
		wide = b&8 != 0
		b = c.byte()
	}
	how := one[b]
	switch b {
	case 0x0f:
		how = c.escaped()
	case 0xc5: // VEX of two bytes
		c.skip(1)
		how = vector(1, c.byte())
	case 0xc4: // VEX of three
		m := c.byte() & 0x1f
		c.skip(1)
		how = vector(m, c.byte())
	case 0x62: // EVEX
		m := c.byte() & 7
		c.skip(2)
		how = vector(m, c.byte())
	}
	if how&invalid != 0 {
		return x86{}
	}
	in := x86{branch: how&(jump|call) != 0, call: how&call != 0}
	if how&modRM != 0 {
		reg := c.modRM()
		if how&group3 != 0 && reg < 2 {
			how |= imm8 << ((b & 1) * 2) // imm8 of f6, immZ of f7
		}
	}
	if how&imm16 != 0 {
		c.skip(2)
	}
	switch {
	case in.branch && how&imm8 != 0:
		in.rel = int64(int8(c.byte()))
	case in.branch:
		in.rel = int64(int32(c.word()))
	case how&imm8 != 0:
		c.skip(1)
	case how&immV != 0 && wide:
		c.skip(8)
	case how&(immZ|immV) != 0 && short && !wide:
		c.skip(2)
	case how&(immZ|immV) != 0:
		c.skip(4)
	case how&moffs != 0 && narrow:
		c.skip(4)
	case how&moffs != 0:
		c.skip(8)
	}
	if in.len = c.at; c.cut || in.len > 15 {
		return x86{}
	}
	return in
}

// vector is how an instruction behind a VEX or EVEX prefix is encoded, in the
// map that the prefix names.
func vector(m, op byte) uint16 {
	switch {
	case m == 1 && op == 0x77: // vzeroupper
		return 0
	case m == 1 && two[op]&imm8 != 0 && op != 0x0f, m == 3:
		return modRM | imm8
	case m == 0 || m == 4 || m > 6:
		return invalid
	}
	return modRM
}

// cursor reads an instruction, and notes where the code ends before it does.
type cursor struct {
	code []byte
	at   int
	cut  bool
}

func (c *cursor) skip(n int) {
	c.at += n
	c.cut = c.cut || c.at > len(c.code)
}

func (c *cursor) byte() byte {
	c.skip(1)
	if c.cut {
		return 0
	}
	return c.code[c.at-1]
}

func (c *cursor) word() uint32 {
	c.skip(4)
	if c.cut {
		return 0
	}
	return binary.LittleEndian.Uint32(c.code[c.at-4:])
}

// escaped reads an opcode behind 0f.
func (c *cursor) escaped() uint16 {
	switch op := c.byte(); op {
	case 0x38:
		c.skip(1)
		return modRM
	case 0x3a:
		c.skip(1)
		return modRM | imm8
	default:
		return two[op]
	}
}

// modRM reads a ModRM byte and what it says follows, and returns its register.
func (c *cursor) modRM() (reg byte) {
	b := c.byte()
	mod, rm := b>>6, b&7
	base := rm
	if mod != 3 && rm == 4 {
		base = c.byte() & 7 // SIB
	}
	switch {
	case mod == 1:
		c.skip(1)
	case mod == 2, mod == 0 && base == 5:
		c.skip(4)
	}
	return b >> 3 & 7
}
