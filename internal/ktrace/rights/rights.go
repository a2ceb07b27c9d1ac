//go:build linux

// Package rights reads this process's privileges, as the kernel counts them.
package rights

import (
	"os"
	"syscall"
	"unsafe"
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

// capHeader and capData are those of capget(2), version 3.
type (
	capHeader struct {
		version uint32
		pid     int32
	}
	capData struct {
		effective uint32
		_         [2]uint32 // permitted, inheritable
	}
)

const capVersion3 = 0x20080522 // _LINUX_CAPABILITY_VERSION_3

// Of are this process's privileges. They do not come from /proc, which may be
// missing, but for the user namespace.
func Of() Privileges {
	var p Privileges
	head := capHeader{version: capVersion3}
	var data [2]capData
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&data)), 0); errno == 0 {
		p.Caps = uint64(data[0].effective) | uint64(data[1].effective)<<32
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
	const get = 21 // PR_GET_SECCOMP
	mode, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, get, 0, 0, 0, 0, 0)
	return errno == 0 && mode != 0
}
