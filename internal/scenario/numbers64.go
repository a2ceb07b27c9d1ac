//go:build linux && (amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x)

package scenario

import "golang.org/x/sys/unix"

// The numbers under which a thread may sleep in a call of the library's.
var (
	ppollCalls    = []int{unix.SYS_PPOLL}
	pselect6Calls = []int{unix.SYS_PSELECT6}
	epollCalls    = []int{unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2}
)
