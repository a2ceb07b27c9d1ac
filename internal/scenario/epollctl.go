//go:build linux

package scenario

import (
	"errors"
	"fmt"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// Operations on an epoll other than waiting in it.
var epollCtls = []*Scenario{
	{
		Name: "epoll_ctl_ready", System: 12, Title: "EPOLL_CTL_ADD of an eventfd that is readable wakes the thread that sleeps in the epoll, and so does EPOLL_CTL_MOD",
		Source: "epoll_ctl", Waiter: "epoll_pwait", Through: []string{"epoll-waiter"}, Paths: []string{"eventfd2", "epoll_create1", "epoll_wait", "epoll_wake"},
		run: runEpollCtlReady,
	},
	{
		Name: "epoll_ctl_nested", System: 12, Title: "EPOLL_CTL_ADD of an eventfd that is readable wakes the thread that polls the epoll",
		Source: "epoll_ctl", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "epoll_create1", "epoll_nested", "ppoll", "poll_wake"},
		run: runEpollCtlNested,
	},
	{
		Name: "epoll_level", System: 12, Title: "two threads sleep in one epoll, level triggered: a write wakes the first, and that one the second",
		Source: "eventfd_write", Waiter: "epoll_pwait", Through: []string{"epoll", "epoll-waiter"}, Paths: []string{"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_wake"},
		run: runEpollLevel,
	},
	{
		Name: "epoll_release", System: 12, Title: "an epoll is closed while a thread sleeps in it, and so is one of its eventfds: the thread sleeps on until the other is written to",
		Source: "eventfd_write", Waiter: "epoll_wait", Through: []string{"epoll", "epoll-waiter"}, Paths: []string{"eventfd2", "eventfd_release", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_wake", "epoll_release"},
		run: runEpollRelease,
	},
	{
		Name: "epoll_ioctl", System: 12, Title: "an epoll's busy polling is set and read by ioctl(2), before a thread sleeps in it",
		Source: "eventfd_write", Waiter: "epoll_pwait", Through: []string{"epoll", "epoll-waiter"}, Paths: []string{"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_wake", "epoll_ioctl"},
		run: runEpollIoctl,
	},
}

func runEpollCtlReady(t *T) error {
	e, err := t.EventFD(1, 0)
	if err != nil {
		return err
	}
	p, err := t.emptyEpoll()
	if err != nil {
		return err
	}
	if err := t.Wait(epollWait(p, e.FD()), epollCalls...); err != nil {
		return err
	}
	added := t.scenario.Own()
	added.Without = []string{"modify", "delete"}
	if err := t.ActAs(added, func() error { return p.Add(e.FD(), efd.EPOLLIN, uint64(e.FD())) }); err != nil {
		return err
	}
	err = t.Do(func() error {
		_, err := e.Read()
		return err
	})
	if err != nil {
		return err
	}
	if err := t.Wait(epollWait(p, e.FD()), epollCalls...); err != nil {
		return err
	}
	modified := t.scenario.Own()
	modified.Without = []string{"add", "delete"}
	if err := t.ActAs(modified, func() error { return p.Modify(e.FD(), efd.EPOLLIN|efd.EPOLLOUT, uint64(e.FD())) }); err != nil {
		return err
	}
	return t.Do(func() error { return p.Delete(e.FD()) })
}

func runEpollCtlNested(t *T) error {
	e, err := t.EventFD(1, 0)
	if err != nil {
		return err
	}
	p, err := t.emptyEpoll()
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(p.FD(), efd.POLLIN, nil); err != nil {
		return err
	}
	added := t.scenario.Own()
	added.Without = []string{"modify", "delete"}
	return t.ActAs(added, func() error { return p.Add(e.FD(), efd.EPOLLIN, uint64(e.FD())) })
}

func runEpollLevel(t *T) error {
	e, p, err := t.EventFDInEpoll()
	if err != nil {
		return err
	}
	// The last waiter is the first in an epoll's queue.
	other, err := t.Second(epollWait(p, e.FD()), epollCalls...)
	if err != nil {
		return err
	}
	if err := t.waitFor(e, epollWait(p, e.FD()), epollCalls...); err != nil {
		return err
	}
	passed := Wake{Source: "epoll_wait", Call: "epoll_pwait", Through: []string{"epoll-waiter"}, Waker: t.res.Waiter, Began: t.wake.Began}
	return other.wokenToo(passed)
}

// rawEpoll is an epoll without a handle: its descriptor can be closed while a
// thread sleeps in it.
type rawEpoll struct {
	t  *T
	fd int
}

func (t *T) rawEpoll() (*rawEpoll, error) {
	fd, err := t.Open("epoll", func() (int, error) { return unix.EpollCreate1(unix.EPOLL_CLOEXEC) }, "epoll_create1(EPOLL_CLOEXEC)")
	return &rawEpoll{t, fd}, err
}

func (p *rawEpoll) add(fd int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return p.t.do(func() error { return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev) },
		"epoll_ctl(%d, EPOLL_CTL_ADD, %d, {events=EPOLLIN, data={u32=%d, u64=%d}})", p.fd, fd, fd, fd)
}

// wait is the waiter's call, which must report fd.
func (p *rawEpoll) wait(fd int) func() error {
	return func() error {
		var evs [2]unix.EpollEvent
		n, err := p.t.Sys(func() (int, error) { return again(func() (int, error) { return epollWaitCall(p.fd, evs[:]) }) },
			"epoll_wait(%d, %v, 2, -1)", p.fd, later(func() string { return eventText(evs[0]) }))
		return expect(err, n == 1 && evs[0].Fd == int32(fd), "epoll_wait gave %d events, the first on %d, want 1 on %d", n, evs[0].Fd, fd)
	}
}

func eventText(ev unix.EpollEvent) string {
	if ev.Events == 0 {
		return "[]"
	}
	return fmt.Sprintf("[{events=%s, data={u32=%d, u64=%d}}]", efd.EpollEvents(ev.Events), ev.Fd, ev.Fd)
}

func runEpollRelease(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	gone, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	t.object(e)
	p, err := t.rawEpoll()
	if err != nil {
		return err
	}
	if err := errors.Join(p.add(e.FD()), p.add(gone.FD())); err != nil {
		return err
	}
	if err := t.Wait(p.wait(e.FD()), nrEpollWait); err != nil {
		return err
	}
	// The sleeping thread's call holds the epoll: it is released when that call
	// returns, by that thread.
	if err := t.Unnoticed(func() error { return errors.Join(gone.Close(), t.close(p.fd)) }); err != nil {
		return err
	}
	return t.Act(func() error { return e.Write(1) })
}

func runEpollIoctl(t *T) error {
	e, p, err := t.EventFDInEpoll()
	if err != nil {
		return err
	}
	set := efd.BusyPoll{Usecs: 64, Budget: 8}
	var got efd.BusyPoll
	err = t.Do(func() error {
		if err := p.SetBusyPoll(set); err != nil {
			return err
		}
		got, err = p.BusyPoll()
		return err
	})
	switch {
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EINVAL):
		return Skip("ioctl(EPIOCSPARAMS): the kernel has no such request: it came with 6.9")
	case errors.Is(err, unix.EOPNOTSUPP):
		return Skip("ioctl(EPIOCSPARAMS): the kernel is built without CONFIG_NET_RX_BUSY_POLL")
	}
	if err := expect(err, got == set, "EPIOCGPARAMS gave %+v, want the values set, %+v", got, set); err != nil {
		return err
	}
	return t.waitFor(e, epollWait(p, e.FD()), epollCalls...)
}
