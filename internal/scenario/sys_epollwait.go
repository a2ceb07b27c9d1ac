//go:build linux && (amd64 || 386 || arm || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || s390x)

package scenario

import "golang.org/x/sys/unix"

// epoll_wait(2) itself; the library has no use for it.
const nrEpollWait = unix.SYS_EPOLL_WAIT
