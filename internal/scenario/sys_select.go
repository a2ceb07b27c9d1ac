//go:build linux && (amd64 || s390x)

package scenario

import "golang.org/x/sys/unix"

const nrSelect = unix.SYS_SELECT
