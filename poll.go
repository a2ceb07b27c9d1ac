package efd

import (
	"time"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// Forever is a wait without a time limit. So is every negative duration.
const Forever time.Duration = -1

// PollEvents is a set of poll events. See poll(2).
type PollEvents int16

const (
	POLLIN     PollEvents = unix.POLLIN
	POLLPRI    PollEvents = unix.POLLPRI
	POLLOUT    PollEvents = unix.POLLOUT
	POLLERR    PollEvents = unix.POLLERR
	POLLHUP    PollEvents = unix.POLLHUP
	POLLNVAL   PollEvents = unix.POLLNVAL
	POLLRDNORM PollEvents = 0x40
	POLLRDBAND PollEvents = 0x80
	POLLWRNORM PollEvents = pollWRNORM
	POLLWRBAND PollEvents = pollWRBAND
	POLLMSG    PollEvents = 0x400
	POLLRDHUP  PollEvents = unix.POLLRDHUP
)

// String is the set as strace prints it: "POLLIN|POLLHUP|0x4000".
func (ev PollEvents) String() string { return uapi.PollEvents.String(uint64(uint16(ev))) }

// PollFD is struct pollfd, bit for bit. A negative FD is skipped.
type PollFD struct {
	FD      int32
	Events  PollEvents
	Revents PollEvents
}

// Poll waits until one of fds is ready. See ppoll(2).
func Poll(fds []PollFD, timeout time.Duration, mask *SigSet) (n int, err error) {
	var ts timespec
	var buf SigSet
	limit, blocked := ts.set(timeout), waitMask(mask, &buf)
	var errno unix.Errno
	if timeout == 0 && direct(len(fds)) {
		var r uintptr
		r, errno = nowPpoll(fds, limit, blocked)
		n = int(r)
	} else {
		n, errno = sysPpoll(fds, limit, blocked)
	}
	if errno != 0 {
		return repeatPpoll(errno, fds, limit, mask, blocked)
	}
	if n > 0 {
		raceSeen()
	}
	return n, nil
}

// repeatPpoll goes on after a ppoll that failed with errno: it is repeated
// after a signal where the caller gave no mask. The kernel left the rest of
// the time limit in ts.
func repeatPpoll(errno unix.Errno, fds []PollFD, ts *timespec, mask, blocked *SigSet) (n int, err error) {
	old := false
	for errno != 0 {
		switch {
		case errno == unix.EINTR && mask == nil:
		case errno == unix.EINTR:
			return 0, &InterruptedError{opNames[opPpoll], ts.duration()}
		case !timeFallback(old, errno):
			return 0, opPpoll.fail(errno)
		}
		old = oldTime()
		n, errno = sysPpoll(fds, ts, blocked)
	}
	if n > 0 {
		raceSeen()
	}
	return n, nil
}
