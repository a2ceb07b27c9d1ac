//go:build linux

package efd

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// op is a system call, as its errors name it.
type op uint8

const (
	opEventfd2 op = iota
	opRead
	opWrite
	opFcntl
	opPpoll
	opPselect6
	opEpollCreate1
	opEpollCtl
	opEpollPwait
	opEpollPwait2
	opIoctl
	opRtSigprocmask
	opOpenat
	numOps
)

var opNames = [numOps]string{"eventfd2", "read", "write", "fcntl", "ppoll", "pselect6", "epoll_create1",
	"epoll_ctl", "epoll_pwait", "epoll_pwait2", "ioctl", "rt_sigprocmask", "openat"}

// prepared has the errors that calls have met so far, so that meeting one again
// allocates nothing.
var prepared [numOps][134]atomic.Pointer[os.SyscallError]

// fail is the error of a call that failed with errno.
func (o op) fail(errno unix.Errno) error {
	if int(errno) >= len(prepared[o]) {
		return os.NewSyscallError(opNames[o], errno)
	}
	p := &prepared[o][errno]
	if p.Load() == nil {
		p.CompareAndSwap(nil, &os.SyscallError{Syscall: opNames[o], Err: errno})
	}
	return p.Load()
}

// result is nil if errno is 0, and the error of the call if not.
func (o op) result(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return o.fail(errno)
}

// argError refuses an argument before the call. It stands for the errno that
// the kernel would have given.
type argError struct {
	text  string
	errno unix.Errno
}

func (e *argError) Error() string { return "efd: " + e.text + " (" + unix.ErrnoName(e.errno) + ")" }
func (e *argError) Unwrap() error { return e.errno }

func badArg(errno unix.Errno, format string, args ...any) error {
	return &argError{sprintf(format, args...), errno}
}

// nilConnError refuses a Conn that is nil, or a nil handle: for the kernel its
// fd is EBADF, and as an argument it is EINVAL.
type nilConnError struct{}

var errNilConn error = nilConnError{}

func (nilConnError) Error() string { return "efd: the Conn is nil (EINVAL)" }
func (nilConnError) Is(target error) bool {
	return target == unix.EINVAL || target == unix.EBADF || target == os.ErrInvalid
}

// callError is the kernel's error for an argument, with the argument and the
// rule named.
type callError struct {
	text string
	err  error // an *os.SyscallError
}

func (e *callError) Error() string { return "efd: " + e.text + ": " + e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

// InterruptedError reports that a signal handler ran during a wait that had a
// signal mask. It wraps [unix.EINTR].
type InterruptedError struct {
	Op        string        // the system call, such as "ppoll"
	Remaining time.Duration // of the wait's time limit; Forever if it had none
}

func (e *InterruptedError) Error() string {
	if e.Remaining < 0 {
		return e.Op + ": " + unix.EINTR.Error()
	}
	return e.Op + ": " + unix.EINTR.Error() + " with " + e.Remaining.String() + " left"
}

// Unwrap returns [unix.EINTR].
func (e *InterruptedError) Unwrap() error { return unix.EINTR }

var errNotPollable = errors.New("efd: cannot register with Go's poller")
