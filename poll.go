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
	return ppoll(fds, ts.set(timeout), mask, waitMask(mask, &buf))
}

// ppoll is ppoll(2) with blocked as the thread's mask, repeated after a signal
// where the caller gave no mask. The kernel leaves the time left in ts.
func ppoll(fds []PollFD, ts *timespec, mask, blocked *SigSet) (int, error) {
	for {
		n, errno := sysPpoll(fds, ts, blocked)
		switch {
		case errno == 0:
			if n > 0 {
				raceSeen()
			}
			return n, nil
		case errno == unix.EINTR && mask == nil:
		case errno == unix.EINTR:
			return 0, &InterruptedError{opNames[opPpoll], ts.duration()}
		case !timeFallback(errno):
			return 0, opPpoll.fail(errno)
		}
	}
}
