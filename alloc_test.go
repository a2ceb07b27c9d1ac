//go:build linux

package efd_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// No call on a hot path allocates, and no error of it does.
func TestHotPathsDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("what the race detector sees is passed by way of the heap")
	}
	e, full := newEventFD(t, 1, 0), newEventFD(t, 0, 0)
	full.Write(efd.MaxCount)
	empty, closed := newEventFD(t, 0, 0), newEventFD(t, 0, 0)
	closed.Close()
	p, idle := newEpoll(t), newEpoll(t)
	if err := p.AddConn(e, efd.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	if err := idle.AddConn(empty, efd.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	s, none := newPollSet(t, efd.POLLIN, e), newPollSet(t, efd.POLLIN, empty)
	dead := newPollSet(t, efd.POLLIN)
	dead.Close()
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}, {FD: -1}}
	emptyFDs := []efd.PollFD{{FD: int32(empty.FD()), Events: efd.POLLIN}}
	bad := make([]efd.PollFD, 1)
	events := make([]efd.EpollEvent, 4)
	var r, w efd.FDSet
	w.Add(e.FD())
	ctx := context.Background()
	done, cancel := context.WithCancel(ctx)
	cancel()
	mask := efd.FullSigSet()
	live, end := context.WithCancel(ctx)
	defer end()
	e.FD() // from here on e's calls enter the scheduler: both kinds are measured
	plain := newEventFD(t, 0, 0)
	waited := newEventFD(t, 0, 0)
	short, stop := context.WithTimeout(ctx, time.Millisecond)
	waited.ReadContext(short)
	stop()
	for name, fn := range map[string]func() error{
		"Write and Read":             func() error { plain.Write(2); _, err := plain.Read(); return err },
		"Write and Read, shared":     func() error { e.Write(2); e.Read(); return e.Write(1) },
		"Read, EAGAIN":               func() error { _, err := empty.Read(); return no(err, unix.EAGAIN) },
		"Write, EAGAIN":              func() error { return no(full.Write(1), unix.EAGAIN) },
		"Write of too much":          func() error { return no(e.Write(1<<64-1), unix.EINVAL) },
		"Read, closed":               func() error { _, err := closed.Read(); return no(err, os.ErrClosed) },
		"Write, closed":              func() error { return no(closed.Write(1), os.ErrClosed) },
		"Signal, full":               func() error { return full.Signal() },
		"Drain, empty":               func() error { _, err := empty.Drain(); return err },
		"ReadContext":                func() error { waited.Write(1); _, err := waited.ReadContext(ctx); return err },
		"WriteContext":               func() error { waited.WriteContext(ctx, 1); _, err := waited.Read(); return err },
		"ReadContext, not in poller": func() error { plain.Write(1); _, err := plain.ReadContext(ctx); return err },
		"ReadContext, cancellable":   func() error { waited.Write(1); _, err := waited.ReadContext(live); return err },
		"WriteContext, cancellable":  func() error { waited.WriteContext(live, 1); _, err := waited.Read(); return err },
		"ReadContext, shared":        func() error { e.Write(1); _, err := e.ReadContext(live); e.Write(1); return err },
		"ReadContext, done":          func() error { _, err := e.ReadContext(done); return no(err, context.Canceled) },
		"ReadContext, closed":        func() error { _, err := closed.ReadContext(ctx); return no(err, os.ErrClosed) },
		"Epoll.Add, not open":        func() error { return no(p.Add(1<<20, efd.EPOLLIN, 0), unix.EBADF) },
		"Epoll.Delete, no member":    func() error { return no(idle.Delete(e.FD()), unix.ENOENT) },
		"Poll":                       func() error { _, err := efd.Poll(fds, 0, nil); return err },
		"Poll with a limit":          func() error { _, err := efd.Poll(fds, time.Second, nil); return err },
		"Poll with a mask":           func() error { _, err := efd.Poll(fds, efd.Forever, &mask); return err },
		"Poll, time-out":             func() error { _, err := efd.Poll(emptyFDs, 1, nil); return err },
		"Poll, POLLNVAL":             func() error { bad[0].FD = 1 << 20; _, err := efd.Poll(bad, 0, nil); return err },
		"Select":                     func() error { r.Add(e.FD()); _, err := efd.Select(&r, &w, nil, 0, nil); return err },
		"Select with a limit":        func() error { r.Add(e.FD()); _, err := efd.Select(&r, nil, nil, time.Second, &mask); return err },
		"Select, time-out":           func() error { r.Clear(); r.Add(empty.FD()); _, err := efd.Select(&r, nil, nil, 1, nil); return err },
		"Select, one set twice":      func() error { _, err := efd.Select(&w, &w, nil, 0, nil); return no(err, unix.EINVAL) },
		"Epoll.Wait":                 func() error { _, err := p.Wait(events, 0, nil); return err },
		"Epoll.Wait with a limit":    func() error { _, err := p.Wait(events, time.Second+1, &mask); return err },
		"Epoll.Wait, time-out":       func() error { _, err := idle.Wait(events, 1, nil); return err },
		"Epoll.Wait, no room":        func() error { _, err := p.Wait(nil, 0, nil); return no(err, unix.EINVAL) },
		"Epoll.WaitContext":          func() error { _, err := p.WaitContext(ctx, events); return err },
		"Epoll.Modify":               func() error { return p.ModifyConn(e, efd.EPOLLIN, 1) },
		"Epoll.Add, EEXIST":          func() error { return no(p.Add(e.FD(), efd.EPOLLIN, 1), unix.EEXIST) },
		"PollSet.Wait":               func() error { _, err := s.Wait(0, nil); return err },
		"PollSet.Wait with a limit":  func() error { _, err := s.Wait(time.Second, &mask); return err },
		"PollSet.Wait, time-out":     func() error { _, err := none.Wait(1, nil); return err },
		"PollSet.Wait, closed":       func() error { _, err := dead.Wait(0, nil); return no(err, os.ErrClosed) },
		"PollSet.Ready": func() error {
			for range s.Ready() {
			}
			return nil
		},
		"PollSet.WaitContext": func() error { _, err := s.WaitContext(ctx); return err },
		"ThreadSigMask":       func() error { _, err := efd.ThreadSigMask(); return err },
	} {
		var err error
		if n := testing.AllocsPerRun(50, func() {
			if e := fn(); e != nil {
				err = e
			}
		}); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, error %v", name, n, err)
		}
	}
}

// no is nil where err is want.
func no(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return err
}

func BenchmarkWriteRead(b *testing.B) {
	e := newEventFD(b, 0, 0)
	for b.Loop() {
		e.Write(1)
		e.Read()
	}
}

func BenchmarkNewClose(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		e, err := efd.New(0, 0)
		if err != nil {
			b.Fatal(err)
		}
		e.Close()
	}
}
