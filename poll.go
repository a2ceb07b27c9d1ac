//go:build linux

package efd

import (
	"time"
	"unsafe"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// Forever is a wait without a time limit, as is every negative duration. So
// time.Until of a deadline that has passed is an endless wait: see [Until].
const Forever time.Duration = -1

// Until returns the time left until t for a wait that has t as its deadline: 0
// if t has passed, and [Forever] for the zero Time.
func Until(t time.Time) time.Duration {
	if t.IsZero() {
		return Forever
	}
	return max(0, time.Until(t))
}

// PollEvents is a set of poll events. Bits without a name are kept. See poll(2).
type PollEvents int16

// Events, by their own names. POLLERR, POLLHUP and POLLNVAL are reported in any
// case.
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

// PollFD is struct pollfd, bit for bit. See poll(2).
type PollFD struct {
	FD      int32      // negative, as FD of a closed handle is: skipped, Revents becomes 0
	Events  PollEvents // to wait for
	Revents PollEvents // the ready events; POLLNVAL: FD is not open
}

// Poll waits until one of fds is ready, sets Revents of all, and returns how
// many are ready. n is 0 when the time is over. It is one ppoll(2).
//
// A negative timeout is no limit, 0 does not wait, and any other value is kept
// to the nanosecond as far as the kernel's timers go, and never cut short. With
// a nil mask, a wait that a signal ends is repeated with the remaining time. If
// the kernel does not return that time (STICKY_TIMEOUTS of personality(2), some
// emulators), the time before the first signal does not count. With a mask, the
// thread blocks those signals, and only those, during the wait, and a signal
// ends the wait in *[InterruptedError]. Whatever mask contains, signals 32 to
// 34 stay deliverable, and SIGURG, by which Go's runtime preempts goroutines,
// stays pending until the wait ends. A signal that is sent to the process and
// not to this thread is taken by another thread: see [WithSigMask].
//
// The handler that ends a wait is Go's own. Its runtime has one for every
// signal that can be caught, but for SIGCONT and the stops from a terminal,
// whether [os/signal.Notify] asked for it or not: each ends a wait that has a
// mask without it. A channel of Notify receives the signal as well, after the
// wait if mask blocks it. Without Notify a signal has the effect that
// [os/signal] documents, and SIGTERM ends the program. Signals that
// [os/signal.Ignore] ignores end no wait.
//
// The caller keeps the fds open: one that is closed during the wait is
// POLLNVAL, and one that is reused is reported for its new file. FD of a handle
// that is closed is -1, which the kernel skips silently: a Poll for it alone,
// with [Forever], does not return. [PollSet] holds its members, and is to be
// preferred for a descriptor and a stop event. Errors: EINVAL, fds is longer
// than the soft limit RLIMIT_NOFILE; ENOMEM.
func Poll(fds []PollFD, timeout time.Duration, mask *SigSet) (n int, err error) {
	var l limit
	var buf SigSet
	ts, blocked := l.set(timeout), waitMask(mask, &buf)
	if mask != nil && timeout > 0 {
		l.start() // the time left is reported, so it goes by the clock from the start
	}
	var errno unix.Errno
	if tracing.Load() == nil {
		n, errno = sysPpoll(unsafe.SliceData(fds), len(fds), ts, blocked)
	} else {
		n, errno = callPpoll(fds, ts, blocked)
	}
	if errno != 0 {
		return repeatPpoll(errno, fds, &l, mask, blocked)
	}
	if n > 0 {
		raceSeen()
	}
	return n, nil
}

// repeatPpoll goes on after a ppoll that failed with errno: it is repeated
// after a signal if the caller gave no mask.
func repeatPpoll(errno unix.Errno, fds []PollFD, l *limit, mask, blocked *SigSet) (n int, err error) {
	old := false
	for errno != 0 {
		switch {
		case errno == unix.EINTR && mask == nil:
		case errno == unix.EINTR:
			return 0, &InterruptedError{opNames[opPpoll], l.left()}
		case !timeFallback(old, errno):
			return 0, failPpoll(errno, len(fds))
		}
		old = oldTime()
		n, errno = callPpoll(fds, l.next(), blocked)
	}
	if n > 0 {
		raceSeen()
	}
	return n, nil
}

// failPpoll is the error of a ppoll of n entries. Time-out and size of the mask
// are always valid, so that EINVAL has one cause.
func failPpoll(errno unix.Errno, n int) error {
	err := opPpoll.fail(errno)
	if errno == unix.EINVAL {
		return &callError{sprintf("fds: %d entries: want at most the soft limit RLIMIT_NOFILE", n), err}
	}
	return err
}
