//go:build linux

package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
	"unsafe"

	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/sigblock"
	"golang.org/x/sys/unix"
)

// step is one system call of a child process.
type step struct {
	nr     uintptr
	args   [6]uintptr
	report int // descriptor that the result is written to, 0 for none
	result [2]int64
}

var exitGroup = step{nr: unix.SYS_EXIT_GROUP}

// child is a process of one thread that is no Go program: between fork and
// exit it makes the system calls that it was given, and nothing else. So its
// only thread is the one that sleeps, or that wakes.
type child struct {
	t       *T
	pid     int
	control int // a byte written here resumes it
	reports *os.File
}

// Child starts a child on the waker's thread. It waits for proceed before it
// makes the calls.
func (t *T) Child(calls ...step) (*child, error) {
	c := &child{t: t}
	var ctl [2]int
	if err := unix.Pipe2(ctl[:], unix.O_CLOEXEC); err != nil {
		return nil, callError(err, "pipe2")
	}
	defer unix.Close(ctl[0])
	c.control = ctl[1]
	t.Cleanup(func() { unix.Close(ctl[1]) })
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	c.reports = r
	t.Cleanup(func() { r.Close() })
	stop := context.AfterFunc(t.ctx, func() { r.SetReadDeadline(time.Now()) })
	t.Cleanup(func() { stop() })
	b := new([1]byte)
	var pin runtime.Pinner // on the heap, where the child has it at the same address
	pin.Pin(b)
	defer pin.Unpin()
	prog := []step{
		// It ends with the thread that made it, whatever becomes of that.
		{nr: unix.SYS_PRCTL, args: [6]uintptr{unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)}},
		{nr: unix.SYS_CLOSE, args: [6]uintptr{uintptr(ctl[1])}},
		{nr: unix.SYS_READ, args: [6]uintptr{uintptr(ctl[0]), uintptr(unsafe.Pointer(b)), 1}},
	}
	for _, s := range calls {
		if s.report != 0 {
			s.report = int(w.Fd())
		}
		prog = append(prog, s)
	}
	err = t.Do(func() error {
		c.pid, err = forkSteps(prog)
		return err
	})
	if err != nil {
		return nil, callError(err, "clone")
	}
	t.Cleanup(func() {
		unix.Kill(c.pid, unix.SIGKILL)
		again(func() (int, error) { return unix.Wait4(c.pid, nil, 0, nil) })
	})
	return c, asleep.Await(t.ctx, c.pid, c.pid, unix.SYS_READ)
}

// proceed lets the child make its calls.
func (c *child) proceed() error { return c.t.writeBytes(c.control, "g") }

// next is the result of the next call that reports.
func (c *child) next() (int, error) {
	var b [16]byte
	if _, err := io.ReadFull(c.reports, b[:]); err != nil {
		return -1, fmt.Errorf("the child's report: %w", err)
	}
	v := *(*[2]int64)(unsafe.Pointer(&b))
	if v[1] != 0 {
		return -1, unix.Errno(v[1])
	}
	return int(v[0]), nil
}

// asleep waits until the child sleeps in the system call of that number. If it
// has returned from it, the error is the call's.
func (c *child) asleep(nr int) error {
	err := asleep.Await(c.t.ctx, c.pid, c.pid, nr)
	if err == nil || c.t.ctx.Err() != nil {
		return err
	}
	c.reports.SetReadDeadline(time.Now().Add(lateLimit))
	if _, failed := c.next(); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// stopped waits until the child is stopped.
func (c *child) stopped() error {
	for {
		var ws unix.WaitStatus
		pid, err := again(func() (int, error) { return unix.Wait4(c.pid, &ws, unix.WUNTRACED|unix.WNOHANG, nil) })
		switch {
		case err != nil:
			return callError(err, "wait4")
		case pid == 0 && c.t.ctx.Err() != nil:
			return fmt.Errorf("the child was not stopped: %w", context.Cause(c.t.ctx))
		case pid == 0:
			pause()
		case pid == c.pid && ws.Stopped():
			return nil
		case ws.Exited(), ws.Signaled():
			return errors.New("the child ended before it was stopped")
		}
	}
}

// forkSteps forks the calling thread. The child starts with every signal
// blocked, so that no handler of Go's ever runs in it.
func forkSteps(prog []step) (int, error) {
	restore, err := sigblock.All()
	if err != nil {
		return 0, err
	}
	pid, errno := fork(prog)
	if err := restore(); err != nil {
		return 0, err
	}
	if errno != 0 {
		return 0, errno
	}
	return pid, nil
}

// fork returns in the parent only. In the child nothing of Go's runtime may
// run: no growing stack, no allocation, no race detector.
//
//go:norace
//go:noinline
//go:nosplit
func fork(prog []step) (int, unix.Errno) {
	flags, stack := uintptr(unix.SIGCHLD), uintptr(0)
	if runtime.GOARCH == "s390x" {
		flags, stack = stack, flags
	}
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
	if pid != 0 || errno != 0 {
		return int(pid), errno
	}
	for i := range prog {
		s := &prog[i]
		n, _, errno := unix.RawSyscall6(s.nr, s.args[0], s.args[1], s.args[2], s.args[3], s.args[4], s.args[5])
		if s.report != 0 {
			s.result = [2]int64{int64(n), int64(errno)}
			unix.RawSyscall(unix.SYS_WRITE, uintptr(s.report), uintptr(unsafe.Pointer(&s.result)), 16)
		}
	}
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}
