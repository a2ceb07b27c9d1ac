//go:build linux

package efd_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

func newEventFD(t testing.TB, initval uint32, flags efd.Flag) *efd.EventFD {
	t.Helper()
	e, err := efd.New(initval, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func newEpoll(t testing.TB) *efd.Epoll {
	t.Helper()
	p, err := efd.NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestReadTakesTheCounter(t *testing.T) {
	e := newEventFD(t, 5, 0)
	if err := e.Write(7); err != nil {
		t.Fatal(err)
	}
	if v, err := e.Read(); v != 12 || err != nil {
		t.Fatalf("Read = %d, %v; want 12", v, err)
	}
	if _, err := e.Read(); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("Read of 0: %v, want EAGAIN", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Read(); err != os.ErrClosed {
		t.Fatalf("Read after Close: %v, want os.ErrClosed", err)
	}
}

func TestWaitsSeeReadiness(t *testing.T) {
	e := newEventFD(t, 1, 0)
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN | efd.POLLOUT}}
	if n, err := efd.Poll(fds, time.Second, nil); n != 1 || err != nil || fds[0].Revents != efd.POLLIN|efd.POLLOUT {
		t.Errorf("Poll = %d, %v, %v", n, err, fds)
	}
	var r efd.FDSet
	r.Add(e.FD())
	if !testenv.Emulated() { // qemu-user ends the program on a number above 1023
		r.Add(4000)
	}
	if n, err := efd.Select(&r, nil, nil, time.Second, nil); n != 1 || err != nil || !slices.Equal(slices.Collect(r.All()), []int{e.FD()}) {
		t.Errorf("Select = %d, %v, %v", n, err, &r)
	}
	p := newEpoll(t)
	if err := p.AddConn(e, efd.EPOLLIN, 1<<40|7); err != nil {
		t.Fatal(err)
	}
	evs := make([]efd.EpollEvent, 4)
	if n, err := p.Wait(evs, 1500*time.Microsecond, nil); n != 1 || err != nil || evs[0].Data() != 1<<40|7 || evs[0].Events() != efd.EPOLLIN {
		t.Errorf("Wait = %d, %v, %v", n, err, evs[0])
	}
	if n, err := p.WaitContext(context.Background(), evs); n != 1 || err != nil {
		t.Errorf("WaitContext = %d, %v", n, err)
	}
	var s efd.PollSet
	defer s.Close()
	if err := s.Add(e, efd.POLLIN); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Wait(time.Second, nil); n != 1 || err != nil {
		t.Errorf("PollSet.Wait = %d, %v", n, err)
	}
	for c, ev := range s.Ready() {
		if c != e || ev != efd.POLLIN {
			t.Errorf("Ready yields %v, %v", c, ev)
		}
	}
}

func TestReadContextWaits(t *testing.T) {
	e := newEventFD(t, 0, 0)
	time.AfterFunc(time.Millisecond, func() { e.Write(3) })
	if v, err := e.ReadContext(context.Background()); v != 3 || err != nil {
		t.Fatalf("ReadContext = %d, %v", v, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := e.ReadContext(ctx); err != context.DeadlineExceeded {
		t.Fatalf("ReadContext = %v, want deadline exceeded", err)
	}
}
