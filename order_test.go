//go:build linux

package efd_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
)

// observed is an eventfd and what waits for it.
type observed struct {
	e  *efd.EventFD
	fd int
	p  *efd.Epoll
	s  *efd.PollSet
}

// Who sees an eventfd's readiness comes after who made it. It is the race
// detector that fails this test.
func TestReadinessOrders(t *testing.T) {
	ctx := context.Background()
	spin := func(ready func() bool) {
		for !ready() {
			time.Sleep(time.Microsecond)
		}
	}
	for name, sees := range map[string]func(h observed){
		"Read": func(h observed) {
			spin(func() bool { _, err := h.e.Read(); return err == nil })
		},
		"Drain": func(h observed) {
			spin(func() bool { n, _ := h.e.Drain(); return n > 0 })
		},
		"ReadContext": func(h observed) { h.e.ReadContext(ctx) },
		"Poll": func(h observed) {
			efd.Poll([]efd.PollFD{{FD: int32(h.fd), Events: efd.POLLIN}}, efd.Forever, nil)
		},
		"Poll, timeout 0": func(h observed) {
			fds := []efd.PollFD{{FD: int32(h.fd), Events: efd.POLLIN}}
			spin(func() bool { n, _ := efd.Poll(fds, 0, nil); return n > 0 })
		},
		"Select": func(h observed) {
			efd.Select(setOf(h.fd), nil, nil, efd.Forever, nil)
		},
		"Epoll.Wait": func(h observed) {
			h.p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)
		},
		"Epoll.Wait, limit": func(h observed) { h.p.Wait(make([]efd.EpollEvent, 1), time.Hour, nil) },
		"Epoll.Wait, timeout 0": func(h observed) {
			spin(func() bool { n, _ := h.p.Wait(make([]efd.EpollEvent, 1), 0, nil); return n > 0 })
		},
		"Epoll.WaitContext":   func(h observed) { h.p.WaitContext(ctx, make([]efd.EpollEvent, 1)) },
		"PollSet.Wait":        func(h observed) { h.s.Wait(efd.Forever, nil) },
		"PollSet.WaitContext": func(h observed) { h.s.WaitContext(ctx) },
		"PollSet.Wait, timeout 0": func(h observed) {
			spin(func() bool { n, _ := h.s.Wait(0, nil); return n > 0 })
		},
		"a file of it": func(h observed) {
			f := must(h.e.File())
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
			// The number is taken here: to ask for it would order too.
			h := observed{e, e.FD(), p, s}
			message := ""
			var wg sync.WaitGroup
			wg.Go(func() {
				sees(h)
				if message != "written" {
					t.Errorf("read %q", message)
				}
			})
			message = "written"
			e.Write(1)
			testenv.Within(t, "the threads of one round", wg.Wait)
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
		testenv.Within(t, "the threads of one round", wg.Wait)
	})
}
