//go:build linux && (amd64 || 386 || arm || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || s390x)

package scenario

import "golang.org/x/sys/unix"

const nrPoll = unix.SYS_POLL
