//go:build linux

package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The floor of a call that may sleep: syscall.Syscall6, through which Go's
// scheduler learns of it, in a function of its own. No function of Go costs less.

//go:noinline
func floorPpoll(fds *unix.PollFd, n int, ts *unix.Timespec) (uintptr, syscall.Errno) {
	r, _, errno := syscall.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(fds)), uintptr(n), uintptr(unsafe.Pointer(ts)), 0, 8, 0)
	return r, errno
}

//go:noinline
func floorPselect6(n int, r *unix.FdSet, ts *unix.Timespec) (uintptr, syscall.Errno) {
	got, _, errno := syscall.Syscall6(unix.SYS_PSELECT6, uintptr(n), uintptr(unsafe.Pointer(r)), 0, 0, uintptr(unsafe.Pointer(ts)), 0)
	return got, errno
}

//go:noinline
func floorEpollPwait(fd int, events []unix.EpollEvent) (uintptr, syscall.Errno) {
	r, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 8)
	return r, errno
}

func oneOf(n uintptr, errno syscall.Errno) {
	if n != 1 || errno != 0 {
		panic(errno)
	}
}

func pollFloor(int) (func(int), func()) {
	fds := unix.PollFd{Fd: int32(eventfds(1)[0].FD()), Events: unix.POLLIN}
	return func(n int) {
		for range n {
			var ts unix.Timespec
			oneOf(floorPpoll(&fds, 1, &ts))
		}
	}, nop
}

func selectFloor(int) (func(int), func()) {
	fd := eventfds(1)[0].FD()
	return func(n int) {
		var r unix.FdSet
		for range n {
			var ts unix.Timespec
			r.Set(fd)
			oneOf(floorPselect6(fd+1, &r, &ts))
		}
	}, nop
}

func epollFloor(int) (func(int), func()) {
	fd := must1(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	must(unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, eventfds(1)[0].FD(), &unix.EpollEvent{Events: unix.EPOLLIN}))
	events := make([]unix.EpollEvent, 8)
	return func(n int) {
		for range n {
			oneOf(floorEpollPwait(fd, events))
		}
	}, func() { unix.Close(fd) }
}
