//go:build linux

package ktext

import "encoding/binary"

// decode hands the target of every B and BL to fn. Both are one word: six bits
// that name the instruction and 26 of distance.
var decode = func(code []byte, base uint64, fn func(at, target uint64, jump bool)) {
	for pos := 0; pos+4 <= len(code); pos += 4 {
		w := binary.LittleEndian.Uint32(code[pos:])
		op := w >> 26
		if op != 0b000101 && op != 0b100101 {
			continue
		}
		off := int64(int32(w<<6)) >> 4
		fn(base+uint64(pos), base+uint64(pos)+uint64(off), op == 0b000101)
	}
}
