//go:build linux

package scenario

import (
	"fmt"

	"github.com/efd-go/efd"
)

// Ways through epoll besides the plain wait.
var epolls = []*Scenario{
	{
		Name: "epoll_edge", System: 12, Title: "edge triggered: each write wakes, though the value of the one before it was not read",
		Source: "eventfd_write", Waiter: "epoll_pwait", Through: []string{"epoll", "epoll-waiter"},
		Paths: []string{"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_wake"},
		run:   runEpollEdge,
	},
	{
		Name: "epoll_exclusive", System: 12, Title: "two epolls watch one eventfd with EPOLLEXCLUSIVE: a write wakes the waiter of the one that came first",
		Source: "eventfd_write", Waiter: "epoll_pwait", Through: []string{"epoll", "epoll-waiter"},
		Paths: []string{"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_wake"},
		run:   runEpollExclusive,
	},
	{
		Name: "epoll_nested", System: 12, Title: "an epoll watches an epoll that watches an eventfd",
		Source: "eventfd_write", Waiter: "epoll_pwait", Through: []string{"epoll", "epoll", "epoll-waiter"},
		Paths: []string{"eventfd2", "epoll_create1", "epoll_ctl", "epoll_nested", "epoll_wait", "epoll_wake"},
		run:   runEpollNested,
	},
}

// emptyEpoll makes an epoll that watches nothing yet.
func (t *T) emptyEpoll() (*efd.Epoll, error) {
	var p *efd.Epoll
	err := t.Do(func() error {
		var err error
		p, err = efd.NewEpoll()
		return err
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { p.Close() })
	t.FD(p.FD(), fmt.Sprintf("epoll %d", p.FD()))
	return p, nil
}

// EpollOf makes an epoll that watches fd, and reports it by its number.
func (t *T) EpollOf(fd int, events efd.EpollEvents) (*efd.Epoll, error) {
	p, err := t.emptyEpoll()
	if err != nil {
		return nil, err
	}
	return p, t.Do(func() error { return p.Add(fd, events, uint64(fd)) })
}

// epollWait is the waiter's call on p, which must report data.
func epollWait(p *efd.Epoll, data int) func() error {
	return func() error {
		var evs [2]efd.EpollEvent
		n, err := p.Wait(evs[:], efd.Forever, nil)
		return expect(err, n == 1 && evs[0].Data() == uint64(data), "epoll gave %d events, data %d, want 1 and %d", n, evs[0].Data(), data)
	}
}

func runEpollEdge(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	p, err := t.Epoll(e, efd.EPOLLIN|efd.EPOLLET)
	if err != nil {
		return err
	}
	for range 2 {
		if err := t.waitFor(e, epollWait(p, e.FD()), epollCalls...); err != nil {
			return err
		}
	}
	return nil
}

func runEpollExclusive(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	first, err := t.Epoll(e, efd.EPOLLIN|efd.EPOLLEXCLUSIVE)
	if err != nil {
		return err
	}
	second, err := t.Epoll(e, efd.EPOLLIN|efd.EPOLLEXCLUSIVE)
	if err != nil {
		return err
	}
	other, err := t.Second(epollWait(second, e.FD()), epollCalls...)
	if err != nil {
		return err
	}
	if err := t.Wait(epollWait(first, e.FD()), epollCalls...); err != nil {
		return err
	}
	write := func() error { return e.Write(1) }
	if err := other.rests(func() error { return t.Act(write) }, epollCalls...); err != nil {
		return err
	}
	// Nobody waits on the first epoll any more: the kernel goes on to the second.
	return other.wokenBy(write)
}

func runEpollNested(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	inner, err := t.Epoll(e, efd.EPOLLIN)
	if err != nil {
		return err
	}
	outer, err := t.EpollOf(inner.FD(), efd.EPOLLIN)
	if err != nil {
		return err
	}
	return t.waitFor(e, epollWait(outer, inner.FD()), epollCalls...)
}
