//go:build linux

package scenario

import (
	"fmt"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// The four ways in which a thread waits for an eventfd.
var waits = []*Scenario{
	{
		Name: "read", System: 2, Demo: true, Title: "a thread sleeps in read on an eventfd, another writes to it",
		Source: "eventfd_write", Waiter: "read", SleepPath: "eventfd_read", Through: []string{"sleeper"}, Paths: []string{"eventfd2"},
		run: func(t *T) error {
			e, err := t.EventFD(0, efd.Blocking)
			if err != nil {
				return err
			}
			return t.waitFor(e, func() error {
				v, err := e.Read()
				return expect(err, v == 1, "read gave %d, want 1", v)
			}, unix.SYS_READ)
		},
	},
	{
		Name: "ppoll", System: 10, Demo: true, Title: "a thread sleeps in ppoll on an eventfd, another writes to it",
		Source: "eventfd_write", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "ppoll", "poll"},
		run: func(t *T) error {
			e, err := t.EventFD(0, 0)
			if err != nil {
				return err
			}
			return t.waitFor(e, func() error {
				fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
				n, err := efd.Poll(fds, efd.Forever, nil)
				return expect(err, n == 1 && fds[0].Revents == efd.POLLIN, "ppoll gave %d and %v, want 1 and POLLIN", n, fds[0].Revents)
			}, ppollCalls...)
		},
	},
	{
		Name: "pselect6", System: 9, Demo: true, Title: "a thread sleeps in pselect6 on an eventfd, another writes to it",
		Source: "eventfd_write", Waiter: "pselect6", Through: []string{"poller"}, Paths: []string{"eventfd2", "pselect6", "select"},
		run: func(t *T) error {
			e, err := t.EventFD(0, 0)
			if err != nil {
				return err
			}
			return t.waitFor(e, func() error {
				var r efd.FDSet
				if err := r.Add(e.FD()); err != nil {
					return err
				}
				n, err := efd.Select(&r, nil, nil, efd.Forever, nil)
				return expect(err, n == 1 && r.Has(e.FD()), "pselect6 gave %d and %s", n, r.String())
			}, pselect6Calls...)
		},
	},
	{
		Name: "epoll_wait", System: 12, Demo: true, Title: "a thread sleeps in epoll_wait on an eventfd, another writes to it",
		Source: "eventfd_write", Waiter: "epoll_pwait", Through: []string{"epoll", "epoll-waiter"}, Paths: []string{"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait"},
		run: func(t *T) error {
			e, p, err := t.EventFDInEpoll()
			if err != nil {
				return err
			}
			return t.waitFor(e, func() error {
				var evs [1]efd.EpollEvent
				n, err := p.Wait(evs[:], efd.Forever, nil)
				return expect(err, n == 1 && evs[0].Data() == uint64(e.FD()), "epoll gave %d events, data %d", n, evs[0].Data())
			}, epollCalls...)
		},
	},
}

// waitFor is the common course: one thread falls asleep in the call, the
// other writes 1.
func (t *T) waitFor(e *efd.EventFD, call func() error, nr ...int) error {
	if err := t.Wait(call, nr...); err != nil {
		return err
	}
	return t.Act(func() error { return e.Write(1) })
}

// EventFDInEpoll makes an eventfd whose counter is 0, and an epoll that
// watches it.
func (t *T) EventFDInEpoll() (*efd.EventFD, *efd.Epoll, error) {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return nil, nil, err
	}
	p, err := t.Epoll(e, efd.EPOLLIN)
	return e, p, err
}

// Epoll makes an epoll that watches e.
func (t *T) Epoll(e *efd.EventFD, events efd.EpollEvents) (*efd.Epoll, error) {
	return t.EpollOf(e.FD(), events)
}

// expect turns an unexpected result of a call into an error.
func expect(err error, ok bool, format string, a ...any) error {
	if err == nil && !ok {
		err = fmt.Errorf(format, a...)
	}
	return err
}
