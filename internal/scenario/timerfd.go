//go:build linux

package scenario

import (
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var timerfds = []*Scenario{
	{
		Name: "timerfd", System: 17, Title: "a thread sleeps in ppoll on a timerfd, its timer runs out",
		Source: "timerfd", Waiter: "ppoll", Through: []string{"poller"}, Context: "hardirq", Paths: []string{"ppoll", "poll_wake"},
		run: runTimerfd,
	},
}

func runTimerfd(t *T) error {
	fd, err := t.Open("timerfd", func() (int, error) { return unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC) },
		"timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)")
	if err != nil {
		return err
	}
	err = t.WaitPpoll(fd, efd.POLLIN, func() error {
		var b [8]byte
		n, err := unix.Read(fd, b[:])
		return expect(err, n == 8, "read gave %d bytes, want 8", n)
	})
	if err != nil {
		return err
	}
	return t.Act(func() error {
		its := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(time.Millisecond))}
		err := t.sys(func() error { return unix.TimerfdSettime(fd, 0, &its, nil) },
			"timerfd_settime(%d, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=0, tv_nsec=1000000}}, NULL)", fd)
		if err != nil {
			return err
		}
		return t.spin()
	})
}
