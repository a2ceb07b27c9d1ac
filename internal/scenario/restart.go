//go:build linux

package scenario

import (
	"runtime"
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// Waits of a process that is stopped and continued: no handler runs, so the
// kernel goes on with the call by itself.
var restarts = []*Scenario{
	{
		Name: "restart_poll", System: 14, Title: "a process that sleeps in poll(2) is stopped and continued: it goes on in restart_syscall",
		Source: "eventfd_write", Waiter: "restart_syscall", Through: []string{"poller"}, Paths: []string{"poll", "poll_restart", "poll_wake"},
		need: needCall(nrPoll, "poll", "ppoll"),
		run: func(t *T) error {
			return t.stopped(nrPoll, [6]uintptr{0, 1, 60_000}, unix.SYS_RESTART_SYSCALL)
		},
	},
	{
		Name: "restart_ppoll", System: 14, Title: "a process that sleeps in ppoll is stopped and continued: ppoll is made again",
		Source: "eventfd_write", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: func(t *T) error {
			return t.stopped(unix.SYS_PPOLL, [6]uintptr{0, 1}, unix.SYS_PPOLL)
		},
	},
}

// stopped: a child polls the eventfd in the system call nr, whose first
// argument is the pollfd; once continued it sleeps in the system call then.
func (t *T) stopped(nr int, args [6]uintptr, then int) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	fds := &[1]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
	var pin runtime.Pinner
	pin.Pin(fds)
	defer pin.Unpin()
	args[0] = uintptr(unsafe.Pointer(fds))
	c, err := t.Child(step{nr: uintptr(nr), args: args, report: 1})
	if err != nil {
		return err
	}
	if err := t.Do(c.proceed); err != nil {
		return err
	}
	if err := c.asleep(nr); err != nil {
		return err
	}
	t.res.Waiter, t.res.WaiterSyscalls = c.pid, []int{then}
	err = t.AsleepAgain(c.pid, c.pid, func() error {
		if err := t.kill(c, unix.SIGSTOP); err != nil {
			return err
		}
		if err := c.stopped(); err != nil {
			return err
		}
		return t.kill(c, unix.SIGCONT)
	}, then)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	t.waiting = ended
	go func() {
		n, err := c.next()
		ended <- expect(err, n == 1, "the child's wait gave %d, want 1", n)
	}()
	return t.Act(func() error { return e.Write(1) })
}

func (t *T) kill(c *child, sig unix.Signal) error {
	return t.do(func() error { return unix.Kill(c.pid, sig) }, "kill(%d, %s)", c.pid, unix.SignalName(sig))
}
