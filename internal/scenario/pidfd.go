package scenario

import (
	"errors"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var pidfds = []*Scenario{
	{
		Name: "pidfd", System: 17, Title: "a thread sleeps in ppoll on a pidfd, the process ends",
		Source: "pidfd", Waiter: "ppoll", Callbacks: []string{"pollwake"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPidfd,
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
