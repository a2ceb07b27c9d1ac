//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/asleep"
	"golang.org/x/sys/unix"
)

// needCall returns an error if the architecture does not have a system call.
func needCall(nr int, name, instead string) func() error {
	return func() error {
		if nr < 0 {
			return Skip("%s(2): this architecture has %s instead", name, instead)
		}
		return nil
	}
}

// again makes a call until no signal interrupts it.
func again(fn func() (int, error)) (int, error) {
	for {
		n, err := fn()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func result(n uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// poll is poll(2), which the library has no use for.
func poll(fds []efd.PollFD, msec int) (int, error) {
	n, _, errno := unix.Syscall(uintptr(nrPoll&0xffff), uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(msec))
	return result(n, errno)
}

// selectRead is select(2) with a read set and no time-out.
func selectRead(nfds int, r *unix.FdSet) (int, error) {
	n, _, errno := unix.Syscall6(uintptr(nrSelect&0xffff), uintptr(nfds), uintptr(unsafe.Pointer(r)), 0, 0, 0, 0)
	return result(n, errno)
}

// epollWaitCall is epoll_wait(2), if there is one, with no time-out.
func epollWaitCall(fd int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.Syscall6(nrEpollWait, uintptr(fd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), ^uintptr(0), 0, 0)
	return result(n, errno)
}

// Open makes a call on the waker's thread that returns a descriptor, notes
// the descriptor and closes it when the scenario ends.
func (t *T) Open(what string, fn func() (int, error), format string, a ...any) (int, error) {
	fd := -1
	err := t.Do(func() error {
		var err error
		fd, err = t.Sys(fn, format, a...)
		return err
	})
	if err != nil {
		return -1, callError(err, format)
	}
	t.keep(fd, what)
	return fd, nil
}

// keep notes a descriptor and closes it when the scenario ends, unless the
// scenario has.
func (t *T) keep(fd int, what string) {
	if t.closed == nil {
		t.closed = map[int]bool{}
	}
	t.closed[fd] = false
	t.Cleanup(func() {
		if !t.closed[fd] {
			unix.Close(fd)
		}
	})
	t.FD(fd, fmt.Sprintf("%s %d", what, fd))
}

// close closes a descriptor that was kept, on the current thread.
func (t *T) close(fd int) error {
	t.closed[fd] = true
	return t.sys(func() error { return unix.Close(fd) }, "close(%d)", fd)
}

// pair prints the two descriptors that a call made.
func pair(p [2]int) string { return fmt.Sprintf("[%d, %d]", p[0], p[1]) }

// callError names the call in its error.
func callError(err error, format string) error {
	name, _, _ := strings.Cut(format, "(")
	return os.NewSyscallError(name, err)
}

// sys is Sys on the current thread for a call that has no result.
func (t *T) sys(fn func() error, format string, a ...any) error {
	_, err := t.Sys(func() (int, error) { return 0, fn() }, format, a...)
	if err != nil {
		return callError(err, format)
	}
	return nil
}

// do is sys on the waker's thread.
func (t *T) do(fn func() error, format string, a ...any) error {
	return t.Do(func() error { return t.sys(fn, format, a...) })
}

// writeBytes writes all of b to fd.
func (t *T) writeBytes(fd int, b string) error {
	n, err := t.Sys(func() (int, error) { return unix.Write(fd, []byte(b)) }, "write(%d, %q, %d)", fd, b, len(b))
	if err != nil {
		return callError(err, "write")
	}
	return expect(nil, n == len(b), "write took %d bytes of %d", n, len(b))
}

// readBytes reads from fd and requires the result want.
func (t *T) readBytes(fd int, want string) error {
	b := make([]byte, len(want)+16)
	n := 0
	_, err := t.Sys(func() (int, error) {
		var err error
		n, err = again(func() (int, error) { return unix.Read(fd, b) })
		return n, err
	}, "read(%d, %v, %d)", fd, later(func() string { return strconv.Quote(string(b[:max(n, 0)])) }), len(b))
	if err != nil {
		return callError(err, "read")
	}
	return expect(nil, string(b[:n]) == want, "read gave %q, want %q", b[:n], want)
}

// later is an argument that is only known after the call.
type later func() string

func (l later) String() string { return l() }

// Ppoll is the call of most waiters: ppoll on one descriptor for ever.
func (t *T) Ppoll(fd int, events efd.PollEvents) error {
	fds := []efd.PollFD{{FD: int32(fd), Events: events}}
	n, err := efd.Poll(fds, efd.Forever, nil)
	return expect(err, n == 1 && fds[0].Revents == events, "ppoll gave %d and %v, want 1 and %v", n, fds[0].Revents, events)
}

// WaitPpoll makes the waiter sleep in ppoll on fd; after, which may be nil,
// runs afterwards.
func (t *T) WaitPpoll(fd int, events efd.PollEvents, after func() error) error {
	return t.Wait(func() error {
		if err := t.Ppoll(fd, events); err != nil || after == nil {
			return err
		}
		return after()
	}, ppollCalls...)
}

// AsleepAgain does something that wakes the waiter and does not end its call,
// and returns once it sleeps again.
func (t *T) AsleepAgain(pid, tid int, wake func() error, nr ...int) error {
	before, err := asleep.Switches(pid, tid)
	if err != nil {
		return err
	}
	if err := wake(); err != nil {
		return err
	}
	for {
		if err := asleep.Await(t.ctx, pid, tid, nr...); err != nil {
			return err
		}
		if n, err := asleep.Switches(pid, tid); err != nil || n > before {
			return err
		}
		if t.ctx.Err() != nil {
			return fmt.Errorf("thread %d was not woken in between: %w", tid, t.ctx.Err())
		}
		pause()
	}
}

// left is the time that the scenario still has.
func (t *T) left() time.Duration {
	d, ok := t.ctx.Deadline()
	if !ok {
		return efd.Forever
	}
	return max(time.Until(d), 0)
}

// pause lies between two looks at a state. It decides how soon the state is
// known, and nothing else.
func pause() { time.Sleep(50 * time.Microsecond) }

// Unnoticed runs fn on the waker's thread and requires that it does not wake
// the waiter.
func (t *T) Unnoticed(fn func() error) error {
	before, err := asleep.Switches(t.res.PID, t.res.Waiter)
	if err != nil {
		return err
	}
	if err := t.Do(fn); err != nil {
		return err
	}
	if err := t.Asleep(); err != nil {
		return err
	}
	after, err := asleep.Switches(t.res.PID, t.res.Waiter)
	return expect(err, after == before, "the waiter was woken %d times by an operation that must not wake it", after-before)
}
