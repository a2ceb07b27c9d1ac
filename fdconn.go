//go:build linux

package efd

import (
	"math"
	"syscall"

	"golang.org/x/sys/unix"
)

// FD is a bare fd as a syscall.Conn: that of a socket, an inotify instance, a
// terminal or another file that is neither a handle nor an os.File. The caller
// keeps it open. See [PollSet.AddFD].
type FD int

// SyscallConn returns the number for raw use. Read and Write of the
// syscall.RawConn wait by [Poll], on a thread. Errors: EBADF, the number is none
// that a descriptor can have.
func (fd FD) SyscallConn() (syscall.RawConn, error) {
	if err := fd.check("FD"); err != nil {
		return nil, err
	}
	return rawFD(fd), nil
}

// check refuses invalid fds: poll(2) skips negative ones, and a closed handle
// has -1.
func (fd FD) check(what string) error {
	if fd < 0 || fd > math.MaxInt32 {
		return badArg(unix.EBADF, "%s: fd %d: want an open descriptor; the FD of a closed handle is -1", what, int(fd))
	}
	return nil
}

// checkOpen refuses an fd that is not open.
func (fd FD) checkOpen() error {
	if err := fd.check("PollSet"); err != nil {
		return err
	}
	if _, errno := callFcntl(int(fd), unix.F_GETFD, 0); errno != 0 {
		return &callError{sprintf("PollSet: fd %d: want an open descriptor", int(fd)), opFcntl.fail(errno)}
	}
	return nil
}

type rawFD FD

func (fd rawFD) Control(f func(fd uintptr)) error {
	f(uintptr(fd))
	return nil
}

func (fd rawFD) Read(f func(fd uintptr) bool) error  { return fd.run(f, POLLIN) }
func (fd rawFD) Write(f func(fd uintptr) bool) error { return fd.run(f, POLLOUT) }

func (fd rawFD) run(f func(fd uintptr) bool, events PollEvents) error {
	for !f(uintptr(fd)) {
		fds := []PollFD{{FD: int32(fd), Events: events}}
		if _, err := Poll(fds, Forever, nil); err != nil {
			return err
		}
		if fds[0].Revents&POLLNVAL != 0 {
			return badArg(unix.EBADF, "FD: fd %d: want an open descriptor", int(fd))
		}
	}
	return nil
}
