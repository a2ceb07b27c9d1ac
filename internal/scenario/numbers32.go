//go:build linux && (386 || arm || mips || mipsle)

package scenario

import "golang.org/x/sys/unix"

// The numbers under which a thread may sleep in a call of the library's.
var (
	ppollCalls    = []int{unix.SYS_PPOLL_TIME64, unix.SYS_PPOLL}
	pselect6Calls = []int{unix.SYS_PSELECT6_TIME64, unix.SYS_PSELECT6}
	epollCalls    = []int{unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2}
)
