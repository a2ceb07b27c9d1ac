//go:build linux && (386 || arm || mips || mipsle)

package efdtest

import "golang.org/x/sys/unix"

func init() {
	callNames[unix.SYS_PPOLL_TIME64] = "ppoll"
	callNames[unix.SYS_PSELECT6_TIME64] = "pselect6"
	callNames[unix.SYS_FUTEX_TIME64] = "futex"
	callNames[unix.SYS_CLOCK_NANOSLEEP_TIME64] = "clock_nanosleep"
}
