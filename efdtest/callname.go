//go:build linux

package efdtest

import (
	"cmp"
	"runtime"

	"github.com/efd-go/efd/internal/ktrace/observe"
	"golang.org/x/sys/unix"
)

// callNames are the calls in which threads wait, by the numbers of this
// architecture.
var callNames = map[int]string{
	unix.SYS_READ: "read", unix.SYS_READV: "readv", unix.SYS_PREADV2: "preadv2", unix.SYS_WRITE: "write", unix.SYS_WRITEV: "writev",
	unix.SYS_PPOLL: "ppoll", unix.SYS_PSELECT6: "pselect6", unix.SYS_EPOLL_PWAIT: "epoll_pwait", unix.SYS_EPOLL_PWAIT2: "epoll_pwait2",
	unix.SYS_FUTEX: "futex", unix.SYS_NANOSLEEP: "nanosleep", unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep",
	unix.SYS_WAIT4: "wait4", unix.SYS_WAITID: "waitid", unix.SYS_ACCEPT4: "accept4", unix.SYS_RECVMSG: "recvmsg", unix.SYS_SENDMSG: "sendmsg",
	unix.SYS_IO_GETEVENTS: "io_getevents", unix.SYS_IO_URING_ENTER: "io_uring_enter", unix.SYS_RESTART_SYSCALL: "restart_syscall",
	unix.SYS_RT_SIGTIMEDWAIT: "rt_sigtimedwait", unix.SYS_FLOCK: "flock",
}

// callName names a system call, "" if it is not known.
func callName(nr int) string {
	return cmp.Or(callNames[nr], observe.SyscallName(runtime.GOARCH, nr))
}
