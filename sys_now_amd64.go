//go:build gc

package efd

import "golang.org/x/sys/unix"

// The calls that cannot sleep, without the two frames of syscall.RawSyscall6.

//go:noescape
func nowPpoll(fds []PollFD, ts *timespec) (n uintptr, errno unix.Errno)

//go:noescape
func nowPselect6(nfds int, r, w, x []fdWord, ts *timespec) (n uintptr, errno unix.Errno)

//go:noescape
func nowEpollPwait(epfd int, events []EpollEvent) (n uintptr, errno unix.Errno)
