//go:build linux

// Package running says which kernel this program runs on. It is apart from
// package ktrace so that packages that know kernels only from text need not wait for
// golang.org/x/sys/unix to be compiled.
package running

import (
	"bytes"
	"os"
	"runtime"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// Kernel is the release of the kernel that this program runs on, as uname -r
// prints it, and its version. Every command and call that answers for this
// kernel asks here.
func Kernel() (release string, v ktrace.Version, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", ktrace.Version{}, err
	}
	release = Release()
	v, err = ktrace.KernelVersion(release, unix.ByteSliceToString(u.Version[:]))
	return release, v, err
}

// Release is the release alone, "" if the kernel does not say it.
func Release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	// Under setarch --uname-2.6 uname says 2.6 and something.
	if persona, _, errno := unix.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0); errno == 0 && persona&uname26 != 0 {
		if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
			return string(bytes.TrimSpace(b))
		}
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Machine is the architecture as uname -m prints it, "" if the kernel does not say
// it. Under setarch linux32 uname says that of 32 bits to a program of 64.
func Machine() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Machine[:])
}

// uname26 is UNAME26 of linux/personality.h.
const uname26 = 0x0020000
