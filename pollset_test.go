//go:build linux

package efd_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

func newPollSet(t testing.TB, events efd.PollEvents, members ...syscall.Conn) *efd.PollSet {
	t.Helper()
	s := new(efd.PollSet)
	t.Cleanup(func() { s.Close() })
	for _, c := range members {
		if err := s.Add(c, events); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// inThread runs fn on a thread of its own and returns that thread's id, and
// what waits for fn to end.
func inThread(fn func()) (tid int, wait func()) {
	tids, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tids <- unix.Gettid()
		fn()
	}()
	return <-tids, func() { <-done }
}

func TestPollSetReadyIsWhatIsReady(t *testing.T) {
	a, b, c := newEventFD(t, 1, 0), newEventFD(t, 0, 0), newEventFD(t, 1, 0)
	s := newPollSet(t, efd.POLLIN, a, b, c)
	if n, err := s.Wait(0, nil); n != 2 || err != nil {
		t.Fatalf("Wait = %d, %v; want 2", n, err)
	}
	if got := maps.Collect(s.Ready()); len(got) != 2 || got[a] != efd.POLLIN || got[c] != efd.POLLIN {
		t.Errorf("Ready yields %v", got)
	}
	if err := s.Modify(b, efd.POLLOUT); err != nil {
		t.Fatal(err)
	}
	a.Read()
	for c := range s.Ready() { // the loop may change the set
		s.Remove(c)
	}
	if n, err := s.Wait(efd.Forever, nil); n != 1 || err != nil {
		t.Fatalf("Wait = %d, %v; want 1", n, err)
	}
	if got := maps.Collect(s.Ready()); len(got) != 1 || got[b] != efd.POLLOUT {
		t.Errorf("Ready yields %v", got)
	}
	b.Write(efd.MaxCount)
	if n, err := s.Wait(time.Microsecond, nil); n != 0 || err != nil {
		t.Errorf("Wait = %d, %v; want a time-out", n, err)
	}
	for c := range s.Ready() {
		t.Errorf("after a time-out Ready yields %v", c)
	}
}

type uncomparable struct {
	*os.File
	_ []int
}

func TestPollSetErrors(t *testing.T) {
	e := newEventFD(t, 0, 0)
	s := newPollSet(t, efd.POLLIN, e)
	closed := newEventFD(t, 0, 0)
	closed.Close()
	for name, c := range map[string]struct{ got, want error }{
		"Add twice":                {s.Add(e, efd.POLLIN), unix.EEXIST},
		"Add nil":                  {s.Add(nil, efd.POLLIN), unix.EINVAL},
		"Add nil handle":           {s.Add((*efd.EventFD)(nil), efd.POLLIN), unix.EINVAL},
		"Add what has no ==":       {s.Add(uncomparable{}, efd.POLLIN), unix.EINVAL},
		"Add a closed handle":      {s.Add(closed, efd.POLLIN), os.ErrClosed},
		"Modify what is no member": {s.Modify(closed, efd.POLLIN), unix.ENOENT},
		"Remove what is no member": {s.Remove(closed), unix.ENOENT},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	tid, wait := inThread(func() {
		if n, err := s.Wait(efd.Forever, nil); n != 1 || err != nil {
			t.Errorf("Wait = %d, %v", n, err)
		}
	})
	waitAsleep(t, tid, callPpoll)
	if _, err := s.Wait(0, nil); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a second Wait: %v, want EBUSY", err)
	}
	e.Signal()
	wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != os.ErrClosed {
		t.Errorf("a second Close: %v", err)
	}
	for _, err := range []error{s.Add(e, 0), s.Modify(e, 0), s.Remove(e), func() error { _, err := s.Wait(0, nil); return err }()} {
		if err != os.ErrClosed {
			t.Errorf("after Close: %v, want os.ErrClosed", err)
		}
	}
}

// A sleeping wait goes on with the set as it is changed.
func TestPollSetChangesDuringWait(t *testing.T) {
	idle, e := newEventFD(t, 0, 0), newEventFD(t, 1, 0)
	for name, change := range map[string]struct {
		members []syscall.Conn
		do      func(s *efd.PollSet) error
	}{
		"Add":    {[]syscall.Conn{idle}, func(s *efd.PollSet) error { return s.Add(e, efd.POLLIN) }},
		"Modify": {[]syscall.Conn{idle}, func(s *efd.PollSet) error { return s.Modify(idle, efd.POLLOUT) }},
		"Remove": {[]syscall.Conn{idle}, func(s *efd.PollSet) error {
			if err := s.Remove(idle); err != nil {
				return err
			}
			return s.Add(e, efd.POLLIN)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPollSet(t, efd.POLLIN, change.members...)
			tid, wait := inThread(func() {
				if n, err := s.Wait(efd.Forever, nil); n != 1 || err != nil {
					t.Errorf("Wait = %d, %v; want 1", n, err)
				}
			})
			waitAsleep(t, tid, callPpoll)
			if err := change.do(s); err != nil {
				t.Error(err)
			}
			wait()
		})
	}
}

// However often the set changes, and whatever comes between the calls that this
// takes, the time limit is one.
func TestPollSetChangeKeepsTheLimit(t *testing.T) {
	s := newPollSet(t, efd.POLLIN, newEventFD(t, 0, 0))
	e := newEventFD(t, 0, 0)
	const limit, between, most = 50 * time.Millisecond, 5 * time.Millisecond, 100
	var stop atomic.Bool
	var calls []*efd.Call
	_, wait := inThread(func() {
		defer stop.Store(true)
		tid, n := unix.Gettid(), 0
		defer efd.AddTracer(func(c *efd.Call) {
			if c.TID == tid && strings.HasPrefix(c.Syscall, "ppoll") {
				time.Sleep(between)
				if n++; n == most {
					stop.Store(true)
				}
			}
		})()
		calls = traced(t, func() {
			start := time.Now()
			if n, err := s.Wait(limit, nil); n != 0 || err != nil {
				t.Errorf("Wait = %d, %v; want a time-out", n, err)
			}
			if d := time.Since(start); d < limit {
				t.Errorf("Wait took %v, want %v at least", d, limit)
			}
		})
	})
	for !stop.Load() {
		s.Add(e, efd.POLLIN)
		s.Remove(e)
	}
	wait()
	polls := 0
	for _, c := range calls {
		if strings.HasPrefix(c.Syscall, "ppoll") {
			polls++
		}
	}
	if want := int(limit/between) + 2; polls > want {
		t.Errorf("%d calls with %v between them; want at most %d", polls, between, want)
	}
}

// The number of a member that is closed and reused during a wait is never
// reported for the new file.
func TestPollSetNeverReportsReusedNumber(t *testing.T) {
	e := newEventFD(t, 0, 0)
	f, err := e.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, c := range map[string]struct {
		conn  syscall.Conn
		close func() error
		ends  error
	}{
		"EventFD": {e, e.Close, os.ErrClosed},
		"os.File": {f, f.Close, nil},
	} {
		t.Run(name, func(t *testing.T) {
			waker := newEventFD(t, 0, 0)
			s := newPollSet(t, efd.POLLIN, c.conn, waker)
			tid, wait := inThread(func() {
				n, err := s.Wait(efd.Forever, nil)
				if err != c.ends {
					t.Errorf("Wait = %d, %v; want %v", n, err, c.ends)
				}
				for got, ev := range s.Ready() {
					if want := (c.ends != nil); got == c.conn && (ev&efd.POLLIN != 0 || !want) {
						t.Errorf("Ready yields %v for the closed member", ev)
					}
				}
			})
			waitAsleep(t, tid, callPpoll)
			if err := c.close(); err != nil {
				t.Fatal(err)
			}
			for range 8 { // readable files under the numbers that are free now
				newEventFD(t, 1, 0)
			}
			if c.ends == nil {
				waker.Signal()
			}
			wait()
		})
	}
}

// The wait ends once per Wait until the closed member is removed.
func TestPollSetClosedMemberStays(t *testing.T) {
	a, b := newEventFD(t, 0, 0), newEventFD(t, 1, 0)
	s := newPollSet(t, efd.POLLIN, a, b)
	fd := a.FD()
	a.Close()
	if isOpen(fd) {
		t.Error("a set that does not wait keeps a closed handle's number open")
	}
	for range 2 {
		if n, err := s.Wait(efd.Forever, nil); n != 0 || err != os.ErrClosed {
			t.Errorf("Wait = %d, %v; want os.ErrClosed", n, err)
		}
		if got := maps.Collect(s.Ready()); len(got) != 1 || got[a] != efd.POLLNVAL {
			t.Errorf("Ready yields %v, want POLLNVAL of the closed member", got)
		}
	}
	if err := s.Remove(a); err != nil {
		t.Error(err)
	}
	if n, err := s.Wait(efd.Forever, nil); n != 1 || err != nil {
		t.Errorf("Wait = %d, %v; want 1", n, err)
	}
}

// A Conn of another package is held by a duplicate. Its own Close does not
// wait, and the set goes on with the open file.
func TestPollSetHoldsOtherConns(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := in.(syscall.Conn)
	s := newPollSet(t, efd.POLLIN|efd.POLLRDHUP, conn)
	tid, wait := inThread(func() {
		if n, err := s.Wait(efd.Forever, nil); n != 1 || err != nil {
			t.Errorf("Wait = %d, %v; want 1", n, err)
		}
		if got := maps.Collect(s.Ready())[conn]; got&efd.POLLRDHUP == 0 {
			t.Errorf("Ready yields %v, want POLLRDHUP", got)
		}
	})
	waitAsleep(t, tid, callPpoll)
	in.Close()
	out.Close()
	wait()
	if err := s.Remove(conn); err != nil {
		t.Error(err)
	}
}

func TestPollSetWaitContext(t *testing.T) {
	e := newEventFD(t, 1, 0)
	s := newPollSet(t, efd.POLLIN, e)
	ctx, cancel := context.WithCancel(context.Background())
	if n, err := s.WaitContext(ctx); n != 1 || err != nil {
		t.Fatalf("WaitContext = %d, %v; want 1", n, err)
	}
	e.Read()
	tid, wait := inThread(func() {
		if n, err := s.WaitContext(ctx); n != 0 || err != context.Canceled {
			t.Errorf("WaitContext = %d, %v; want context.Canceled", n, err)
		}
	})
	waitAsleep(t, tid, callPpoll)
	cancel()
	wait()
	e.Signal()
	if n, err := s.WaitContext(ctx); n != 0 || err != context.Canceled {
		t.Errorf("WaitContext = %d, %v: a context that is done wins", n, err)
	}
	if n, err := s.Wait(efd.Forever, nil); n != 1 || err != nil {
		t.Errorf("Wait = %d, %v: the cancelled wait harmed it", n, err)
	}
}

func TestPollSetLarge(t *testing.T) {
	const size = 300
	s := newPollSet(t, 0)
	var list []*efd.EventFD
	for range size {
		e := newEventFD(t, 0, 0)
		list = append(list, e)
		if err := s.Add(e, efd.POLLIN); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range list {
		e.Signal()
		if n, err := s.Wait(time.Duration(i%2)*time.Hour, nil); n != 1 || err != nil {
			t.Fatalf("Wait = %d, %v; want 1", n, err)
		}
		for c := range s.Ready() {
			if c != e {
				t.Fatalf("member %d: Ready yields another", i)
			}
		}
		if i%3 == 0 {
			s.Remove(e)
		}
		e.Read()
	}
}
