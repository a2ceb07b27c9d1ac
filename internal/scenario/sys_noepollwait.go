//go:build linux && !(amd64 || s390x || 386 || arm || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le)

package scenario

import "golang.org/x/sys/unix"

// The generic table has epoll_pwait only.
const nrEpollWait = unix.SYS_EPOLL_PWAIT
