//go:build !amd64 || !gc

package efd

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func nowPpoll(fds []PollFD, ts *timespec) (n uintptr, errno unix.Errno) {
	n, _, errno = syscall.RawSyscall6(nrPpoll, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(ts)), 0, sigsetSize, 0)
	return
}

func nowPselect6(nfds int, r, w, x []fdWord, ts *timespec) (n uintptr, errno unix.Errno) {
	n, _, errno = syscall.RawSyscall6(nrPselect6, uintptr(nfds), uintptr(unsafe.Pointer(unsafe.SliceData(r))),
		uintptr(unsafe.Pointer(unsafe.SliceData(w))), uintptr(unsafe.Pointer(unsafe.SliceData(x))),
		uintptr(unsafe.Pointer(ts)), 0)
	return
}

func nowEpollPwait(epfd int, events []EpollEvent) (n uintptr, errno unix.Errno) {
	n, _, errno = syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), 0, 0, sigsetSize)
	return
}
