//go:build linux && (mips || mipsle || mips64 || mips64le)

package efd

const sigsetBits = 128

// <asm/poll.h> has POLLWRNORM as another name of POLLOUT on mips.
const (
	pollWRNORM = 0x4
	pollWRBAND = 0x100
)
