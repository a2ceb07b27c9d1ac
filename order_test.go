package efd_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd"
)

// Who sees an eventfd's readiness comes after who made it. It is the race
// detector that fails this test.
func TestReadinessOrders(t *testing.T) {
	ctx := context.Background()
	spin := func(ready func() bool) {
		for !ready() {
			time.Sleep(time.Microsecond)
		}
	}
	for name, sees := range map[string]func(e *efd.EventFD, p *efd.Epoll, s *efd.PollSet){
		"Read": func(e *efd.EventFD, _ *efd.Epoll, _ *efd.PollSet) {
			spin(func() bool { _, err := e.Read(); return err == nil })
		},
		"Drain": func(e *efd.EventFD, _ *efd.Epoll, _ *efd.PollSet) {
			spin(func() bool { n, _ := e.Drain(); return n > 0 })
		},
		"ReadContext": func(e *efd.EventFD, _ *efd.Epoll, _ *efd.PollSet) { e.ReadContext(ctx) },
		"Poll": func(e *efd.EventFD, _ *efd.Epoll, _ *efd.PollSet) {
			efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, efd.Forever, nil)
		},
		"Poll, timeout 0": func(e *efd.EventFD, _ *efd.Epoll, _ *efd.PollSet) {
			fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
			spin(func() bool { n, _ := efd.Poll(fds, 0, nil); return n > 0 })
		},
		"Select": func(e *efd.EventFD, _ *efd.Epoll, _ *efd.PollSet) {
			efd.Select(setOf(e.FD()), nil, nil, efd.Forever, nil)
		},
		"Epoll.Wait": func(_ *efd.EventFD, p *efd.Epoll, _ *efd.PollSet) {
			p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)
		},
		"Epoll.Wait, limit": func(_ *efd.EventFD, p *efd.Epoll, _ *efd.PollSet) { p.Wait(make([]efd.EpollEvent, 1), time.Hour, nil) },
		"Epoll.Wait, timeout 0": func(_ *efd.EventFD, p *efd.Epoll, _ *efd.PollSet) {
			spin(func() bool { n, _ := p.Wait(make([]efd.EpollEvent, 1), 0, nil); return n > 0 })
		},
		"Epoll.WaitContext":   func(_ *efd.EventFD, p *efd.Epoll, _ *efd.PollSet) { p.WaitContext(ctx, make([]efd.EpollEvent, 1)) },
		"PollSet.Wait":        func(_ *efd.EventFD, _ *efd.Epoll, s *efd.PollSet) { s.Wait(efd.Forever, nil) },
		"PollSet.WaitContext": func(_ *efd.EventFD, _ *efd.Epoll, s *efd.PollSet) { s.WaitContext(ctx) },
		"PollSet.Wait, timeout 0": func(_ *efd.EventFD, _ *efd.Epoll, s *efd.PollSet) {
			spin(func() bool { n, _ := s.Wait(0, nil); return n > 0 })
		},
		"a file of it": func(e *efd.EventFD, _ *efd.Epoll, _ *efd.PollSet) {
			f := must(e.File())
			f.Read(make([]byte, 8))
			f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, p := newEventFD(t, 0, 0), newEpoll(t)
			if err := p.AddConn(e, efd.EPOLLIN, 0); err != nil {
				t.Fatal(err)
			}
			s := newPollSet(t, efd.POLLIN, e)
			message := ""
			var wg sync.WaitGroup
			wg.Go(func() {
				sees(e, p, s)
				if message != "written" {
					t.Errorf("read %q", message)
				}
			})
			message = "written"
			e.Write(1)
			wg.Wait()
		})
	}
	t.Run("WriteContext", func(t *testing.T) { // a Read makes room
		e := newEventFD(t, 0, 0)
		e.Write(efd.MaxCount)
		message := ""
		var wg sync.WaitGroup
		wg.Go(func() {
			e.WriteContext(ctx, 1)
			if message != "written" {
				t.Errorf("read %q", message)
			}
		})
		message = "written"
		e.Read()
		wg.Wait()
	})
}
