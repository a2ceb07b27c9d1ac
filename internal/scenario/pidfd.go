//go:build linux

package scenario

import (
	"errors"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// pidfdThread is PIDFD_THREAD, which golang.org/x/sys has since v0.26.
const pidfdThread = unix.O_EXCL

var pidfds = []*Scenario{
	{
		Name: "pidfd", System: 17, Title: "a thread sleeps in ppoll on a pidfd, the process ends",
		Source: "pidfd", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPidfd,
	},
	{
		Name: "pidfd_thread", System: 17, Title: "a thread sleeps in ppoll on a pidfd of another thread, that thread ends",
		Source: "pidfd", Branches: []string{"thread"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPidfdThread,
	},
}

func runPidfd(t *T) error {
	c, err := t.Child(exitGroup)
	if err != nil {
		return err
	}
	fd, err := t.Open("pidfd", func() (int, error) { return unix.PidfdOpen(c.pid, 0) }, "pidfd_open(%d, 0)", c.pid)
	if errors.Is(err, unix.ENOSYS) {
		return Skip("pidfd_open: the kernel has no such call: it came with 5.3")
	}
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(fd, efd.POLLIN, nil); err != nil {
		return err
	}
	t.res.Waker = c.pid
	return t.Act(c.proceed)
}

func runPidfdThread(t *T) error {
	th := newThread()
	if th.tid == t.res.PID { // Go's runtime never ends the first thread
		first := th
		th = newThread()
		first.end()
	}
	t.joined(th.tid)
	ended := false
	t.Cleanup(func() {
		if !ended {
			th.end()
		}
	})
	fd, err := t.Open("pidfd", func() (int, error) { return unix.PidfdOpen(th.tid, pidfdThread) }, "pidfd_open(%d, PIDFD_THREAD)", th.tid)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return Skip("pidfd_open: the kernel has no PIDFD_THREAD: it came with 6.9")
	}
	if err != nil {
		return err
	}
	err = t.Wait(func() error {
		fds := []efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}
		n, err := efd.Poll(fds, efd.Forever, nil)
		return expect(err, n == 1 && fds[0].Revents&efd.POLLIN != 0, "ppoll gave %d and %v, want 1 and POLLIN", n, fds[0].Revents)
	}, ppollCalls...)
	if err != nil {
		return err
	}
	t.res.Waker = th.tid
	return t.Act(func() error {
		ended = true
		th.end()
		return nil
	})
}
