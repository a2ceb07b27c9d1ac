//go:build linux && !(mips || mipsle || mips64 || mips64le)

package efd

const sigsetBits = 64

// <asm/poll.h> has other values for these two on mips.
const (
	pollWRNORM = 0x100
	pollWRBAND = 0x200
)
