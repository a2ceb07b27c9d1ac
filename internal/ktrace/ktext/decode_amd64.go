package ktext

import "golang.org/x/arch/x86/x86asm"

// decode hands the target of every direct call and jump to fn.
var decode = func(code []byte, base uint64, fn func(at, target uint64, jump bool)) {
	for pos := 0; pos < len(code); {
		in, err := x86asm.Decode(code[pos:], 64)
		if err != nil || in.Len == 0 {
			pos++ // data, or an instruction that is not known: try at the next byte
			continue
		}
		rel, direct := in.Args[0].(x86asm.Rel)
		if direct && (in.Op == x86asm.CALL || in.Op == x86asm.JMP || conditional(in.Op)) {
			fn(base+uint64(pos), base+uint64(pos+in.Len)+uint64(int64(rel)), in.Op != x86asm.CALL)
		}
		pos += in.Len
	}
}

// conditional reports whether the instruction is a conditional jump, which
// compilers also use to leave a function.
func conditional(op x86asm.Op) bool {
	switch op {
	case x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE,
		x86asm.JNE, x86asm.JNO, x86asm.JNP, x86asm.JNS, x86asm.JO, x86asm.JP, x86asm.JS:
		return true
	}
	return false
}
