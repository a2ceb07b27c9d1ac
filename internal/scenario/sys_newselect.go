//go:build linux && (386 || arm || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le)

package scenario

import "golang.org/x/sys/unix"

// SYS_SELECT, if there is one, takes its arguments in a block.
const nrSelect = unix.SYS__NEWSELECT
