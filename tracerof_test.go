//go:build linux

package efd_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A tracer of some handles is called for their calls, and for no others.
func TestAddTracerOf(t *testing.T) {
	e, other, p := newEventFD(t, 0, 0), newEventFD(t, 0, 0), newEpoll(t)
	var mu sync.Mutex
	var got []string
	remove := efd.AddTracerOf(func(c *efd.Call) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, c.Syscall)
	}, e)
	number := e.FD()
	check(t, other.Write(1))
	check(t, e.Write(1))
	efd.Poll([]efd.PollFD{{FD: int32(other.FD()), Events: efd.POLLIN}}, 0, nil)
	efd.Poll([]efd.PollFD{{FD: int32(other.FD())}, {FD: int32(number), Events: efd.POLLIN}}, 0, nil)
	efd.Select(setOf(other.FD()), nil, nil, 0, nil)
	efd.Select(nil, setOf(number), nil, 0, nil)
	check(t, p.AddConn(other, efd.EPOLLIN, 0))
	check(t, p.AddConn(e, efd.EPOLLIN, 0))
	p.Wait(make([]efd.EpollEvent, 2), 0, nil) // the Epoll's
	check(t, p.DeleteConn(e))
	e.Read()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	e.ReadContext(ctx) // from here on an os.File owns the descriptor
	check(t, e.Close())
	for fd := -1; fd != number; { // the number has another file
		var err error
		fd, err = unix.FcntlInt(uintptr(other.FD()), unix.F_DUPFD_CLOEXEC, number)
		check(t, err)
		defer unix.Close(fd)
	}
	efd.Poll([]efd.PollFD{{FD: int32(number), Events: efd.POLLIN}}, 0, nil)
	remove()
	check(t, other.Write(1))

	for i := range got {
		got[i] = strings.TrimSuffix(got[i], "_time64")
	}
	want := []string{"write", "ppoll", "pselect6", "epoll_ctl", "epoll_ctl", "read"}
	// How often ReadContext looks is the poller's.
	if d := cmp.Diff(want, got[:min(len(want), len(got))]); d != "" || got[len(got)-1] != "close" {
		t.Errorf("calls %v (-want +got):\n%s", got, d)
	}
}

// Other Conns are asked for their numbers, and an FD is one.
func TestAddTracerOfConns(t *testing.T) {
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	defer w.Close()
	idle := newEventFD(t, 0, 0)
	for name, c := range map[string]syscall.Conn{"os.File": r, "FD": efd.FD(r.Fd())} {
		n := 0
		remove := efd.AddTracerOf(func(c *efd.Call) { n++ }, idle, c)
		efd.Poll([]efd.PollFD{{FD: int32(r.Fd()), Events: efd.POLLIN}}, 0, nil)
		efd.Poll([]efd.PollFD{{FD: int32(w.Fd()), Events: efd.POLLIN}}, 0, nil)
		remove()
		if n != 1 {
			t.Errorf("%s: %d calls reported, want the one poll of it", name, n)
		}
	}
	remove := efd.AddTracerOf(func(c *efd.Call) { t.Errorf("of no Conn: %v", c) })
	idle.Signal()
	remove()
	for name, add := range map[string]func(){
		"fn is nil":     func() { efd.AddTracerOf(nil, idle) },
		"a Conn is nil": func() { efd.AddTracerOf(func(*efd.Call) {}, (*efd.EventFD)(nil)) },
	} {
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, "AddTracerOf: "+name) {
					t.Errorf("panic %q, want %q", r, name)
				}
			}()
			add()
		}()
	}
}

// A tracer costs an allocation per call, and the calls of others none.
func TestTracerAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("what the race detector sees is passed by way of the heap")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e, other, p := newEventFD(t, 1, 0), newEventFD(t, 0, 0), newEpoll(t)
	check(t, p.AddConn(e, efd.EPOLLIN, 0))
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
	events := make([]efd.EpollEvent, 1)
	for name, call := range map[string]func(){
		"Write":      func() { e.Write(0) },
		"Poll":       func() { efd.Poll(fds, 0, nil) },
		"Epoll.Wait": func() { p.Wait(events, 0, nil) },
		"ModifyConn": func() { p.ModifyConn(e, efd.EPOLLIN, 1) },
	} {
		remove := efd.AddTracer(func(*efd.Call) {})
		if n := testing.AllocsPerRun(100, call); n > 2 || name == "Write" && n > 1 {
			t.Errorf("%s: %v allocations with a tracer", name, n)
		}
		remove()
		remove = efd.AddTracerOf(func(*efd.Call) {}, other)
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations with a tracer of another handle", name, n)
		}
		remove()
	}
}

// A Call that a tracer keeps stays as it was: later calls share nothing with it.
func TestKeptCallsDoNotChange(t *testing.T) {
	e := newEventFD(t, 0, 0)
	var texts []string
	calls := traced(t, func() {
		defer efd.AddTracerOf(func(c *efd.Call) { texts = append(texts, c.String()) }, e)()
		for i := range uint64(200) {
			e.Write(i)
			efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.PollEvents(i)}, {FD: -1}, {FD: 1}, {FD: 2}}, time.Duration(i), nil)
			e.Read()
		}
	})
	for i, c := range calls {
		if c.String() != texts[i] {
			t.Fatalf("call %d is %v, and was %s", i, c, texts[i])
		}
	}
	if len(calls) < 600 { // more if a signal of Go's scheduler interrupts a ppoll
		t.Errorf("%d calls, want 600", len(calls))
	}
}
