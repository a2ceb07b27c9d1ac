//go:build linux

// Package rights reads this process's privileges, as the kernel counts them.
package rights

import (
	"os"

	"golang.org/x/sys/unix"
)

// Privileges are those of a process that the kernel checks.
type Privileges struct {
	Caps          uint64 // effective capabilities, a bit each
	UserNamespace bool   // it is in a user namespace that is not the initial one, where capabilities count for nothing in tracing
}

// Has reports whether the process has the capability, if it counts.
func (p Privileges) Has(capability int) bool {
	return !p.UserNamespace && p.Caps>>capability&1 == 1
}

// Of are this process's privileges. They do not come from /proc, which may be
// missing, but for the user namespace.
func Of() Privileges {
	var p Privileges
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&head, &data[0]) == nil {
		p.Caps = uint64(data[0].Effective) | uint64(data[1].Effective)<<32
	}
	const initial = "user:[4026531837]" // PROC_USER_INIT_INO
	if ns, err := os.Readlink("/proc/self/ns/user"); err == nil {
		p.UserNamespace = ns != initial
	}
	return p
}

// Filtered reports whether a seccomp filter is on, which may answer in the
// kernel's place.
func Filtered() bool {
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	return err == nil && mode != 0
}
