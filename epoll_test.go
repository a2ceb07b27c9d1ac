//go:build linux

package efd_test

import (
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// What the kernel would refuse is refused by name, before the call.
func TestEpollRefusesCombinations(t *testing.T) {
	p, q, e := newEpoll(t), newEpoll(t), newEventFD(t, 0, 0)
	if err := p.Add(e.FD(), efd.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		call func() error
		want error
		says string
	}{
		"ONESHOT": {func() error { return q.Add(e.FD(), efd.EPOLLEXCLUSIVE|efd.EPOLLIN|efd.EPOLLONESHOT, 0) }, unix.EINVAL, "not with EPOLLONESHOT"},
		"RDHUP":   {func() error { return q.AddConn(e, efd.EPOLLEXCLUSIVE|efd.EPOLLRDHUP|efd.EPOLLPRI, 0) }, unix.EINVAL, "EPOLLPRI|EPOLLRDHUP"},
		"Modify":  {func() error { return p.Modify(e.FD(), efd.EPOLLEXCLUSIVE|efd.EPOLLIN, 0) }, unix.EINVAL, "Add only"},
		"epoll":   {func() error { return p.AddConn(q, efd.EPOLLEXCLUSIVE|efd.EPOLLIN, 0) }, unix.EINVAL, "to an epoll"},
		"itself":  {func() error { return p.AddConn(p, efd.EPOLLIN, 0) }, unix.EINVAL, "own"},
		"fd":      {func() error { return p.Add(-5, efd.EPOLLIN, 0) }, unix.EBADF, "fd -5"},
		"nil":     {func() error { return p.AddConn(nil, efd.EPOLLIN, 0) }, unix.EBADF, "nil"},
		"busy":    {func() error { return p.SetBusyPoll(efd.BusyPoll{Usecs: math.MaxInt32 + 1}) }, unix.EINVAL, "2147483648"},
	} {
		var err error
		calls := traced(t, func() { err = c.call() })
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %v that says %q", name, err, c.want, c.says)
		}
		if len(calls) > 0 {
			t.Errorf("%s: made a call: %v", name, texts(calls))
		}
	}
	for _, ok := range []efd.EpollEvents{efd.EPOLLIN, efd.EPOLLIN | efd.EPOLLOUT | efd.EPOLLET, efd.EPOLLERR | efd.EPOLLHUP, 0} {
		if err := q.Add(e.FD(), efd.EPOLLEXCLUSIVE|ok, 0); err != nil {
			t.Errorf("EPOLLEXCLUSIVE|%v: %v", ok, err)
		}
		q.Delete(e.FD())
	}
}

func TestEpollData(t *testing.T) {
	p := newEpoll(t)
	for _, data := range []uint64{0, 1, 1 << 31, 1 << 32, 0x0123456789abcdef, 1<<64 - 1} {
		e := newEventFD(t, 1, 0)
		if err := p.AddConn(e, efd.EPOLLIN|efd.EPOLLET, data); err != nil {
			t.Fatal(err)
		}
		// A buffer of several, since each has a stride to get right.
		events := make([]efd.EpollEvent, 3)
		if n, err := p.Wait(events, 0, nil); n != 1 || err != nil || events[0].Data() != data || events[0].Events() != efd.EPOLLIN {
			t.Errorf("data %#x: %d, %v, %#x, %v", data, n, err, events[0].Data(), events[0].Events())
		}
		if list, err := p.Interest(); err != nil || !slices.Contains(list, efd.Interest{FD: e.FD(), Events: efd.EPOLLIN | efd.EPOLLET | efd.EPOLLERR | efd.EPOLLHUP, Data: data}) {
			t.Errorf("data %#x: Interest = %v, %v", data, list, err)
		}
	}
	a, b := newEventFD(t, 1, 0), newEventFD(t, 1, 0)
	q := newEpoll(t)
	q.AddConn(a, efd.EPOLLIN, 1<<63|1)
	q.AddConn(b, efd.EPOLLOUT, 1<<62|2)
	events := make([]efd.EpollEvent, 2)
	n, err := q.Wait(events, 0, nil)
	got := []uint64{events[0].Data(), events[1].Data()}
	slices.Sort(got)
	if n != 2 || err != nil || !slices.Equal(got, []uint64{1<<62 | 2, 1<<63 | 1}) {
		t.Errorf("two events: %d, %v, %#x", n, err, got)
	}
}

// A handle is deleted, added again, and closes without a trace.
func TestEpollConnRegistrations(t *testing.T) {
	p, e := newEpoll(t), newEventFD(t, 1, 0)
	for range 3 {
		if err := p.AddConn(e, efd.EPOLLIN, 7); err != nil {
			t.Fatal(err)
		}
		if err := p.AddConn(e, efd.EPOLLIN, 7); !errors.Is(err, unix.EEXIST) {
			t.Fatalf("AddConn twice: %v", err)
		}
		if err := p.ModifyConn(e, efd.EPOLLOUT, 8); err != nil {
			t.Fatal(err)
		}
		if list, err := p.Interest(); err != nil || len(list) != 1 || list[0].Data != 8 {
			t.Fatalf("Interest = %v, %v", list, err)
		}
		if err := p.DeleteConn(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.DeleteConn(e); !errors.Is(err, unix.ENOENT) {
		t.Errorf("DeleteConn twice: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := p.AddConn(w, efd.EPOLLOUT, 9); err != nil {
		t.Fatal(err)
	}
	events := make([]efd.EpollEvent, 2)
	if n, err := p.Wait(events, 0, nil); n != 1 || err != nil || events[0].Data() != 9 {
		t.Errorf("Wait = %d, %v", n, err)
	}
	if err := p.DeleteConn(w); err != nil {
		t.Error(err)
	}
	// Epolls that come and go leave nothing with a handle that stays.
	for range 100 {
		q := newEpoll(t)
		if err := q.AddConn(e, efd.EPOLLIN, 0); err != nil {
			t.Fatal(err)
		}
		q.Close()
	}
	if n := e.Watchers(); n != 0 {
		t.Errorf("%d closed epolls are still to be told", n)
	}
}

func TestBusyPoll(t *testing.T) {
	if testenv.Emulated() {
		t.Skip("qemu-user does not know EPIOCSPARAMS")
	}
	p := newEpoll(t)
	want := efd.BusyPoll{Usecs: 50, Budget: 8, Prefer: true}
	err := p.SetBusyPoll(want)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		t.Skip("EPIOCSPARAMS is there since Linux 6.9")
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.BusyPoll(); got != want || err != nil {
		t.Errorf("BusyPoll = %+v, %v; want %+v", got, err, want)
	}
}
