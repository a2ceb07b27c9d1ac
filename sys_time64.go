//go:build linux && (amd64 || arm64 || loong64 || mips64 || mips64le || ppc64 || ppc64le || riscv64 || s390x)

package efd

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// If long has 64 bits there is one time ABI.
const (
	nrFcntl    = unix.SYS_FCNTL
	nrPpoll    = unix.SYS_PPOLL
	nrPselect6 = unix.SYS_PSELECT6
)

// oldTime reports whether the kernel lacks the calls with 64-bit time.
func oldTime() bool { return false }

// timeFallback reports whether a call that failed with errno is to be made
// again with the old time ABI.
func timeFallback(bool, unix.Errno) bool { return false }

const fcntlName = "fcntl"

// timeCall is the name of a call with a time limit.
func timeCall(name string) string { return name }

func sysPpoll(fds *PollFD, size int, ts *timespec, mask *SigSet) (int, unix.Errno) {
	n, _, errno := syscall.Syscall6(nrPpoll, uintptr(unsafe.Pointer(fds)), uintptr(size), uintptr(unsafe.Pointer(ts)),
		uintptr(unsafe.Pointer(mask)), sigsetSize, 0)
	return int(n), errno
}

// sysPselect6 passes sets of at least nfds bits, each nil for none.
func sysPselect6(nfds int, r, w, x *fdWord, ts *timespec, arg *sigsetArg) (int, unix.Errno) {
	n, _, errno := syscall.Syscall6(nrPselect6, uintptr(nfds), uintptr(unsafe.Pointer(r)), uintptr(unsafe.Pointer(w)),
		uintptr(unsafe.Pointer(x)), uintptr(unsafe.Pointer(ts)), uintptr(unsafe.Pointer(arg)))
	return int(n), errno
}
