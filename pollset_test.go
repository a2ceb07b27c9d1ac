//go:build linux

package efd_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
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

// A set keeps nothing of former members, whether a wait came since or not.
func TestPollSetForgetsFormerMembers(t *testing.T) {
	for name, forget := range map[string]func(s *efd.PollSet, e *efd.EventFD) error{
		"Remove": func(s *efd.PollSet, e *efd.EventFD) error { return s.Remove(e) },
		"Close":  func(s *efd.PollSet, e *efd.EventFD) error { return s.Close() },
		"Remove while it waits": func(s *efd.PollSet, e *efd.EventFD) error {
			p := park(t, callPpoll, func() { s.Wait(efd.Forever, nil) })
			stop := newEventFD(t, 1, 0)
			err := errors.Join(s.Remove(e), s.Add(stop, efd.POLLIN))
			p.wait(t)
			return err
		},
		"Close while it waits": func(s *efd.PollSet, e *efd.EventFD) error {
			p := park(t, callPpoll, func() { s.Wait(efd.Forever, nil) })
			err := s.Close()
			p.wait(t)
			return err
		},
	} {
		s := newPollSet(t, efd.POLLIN)
		fd := func() int {
			e := must(efd.New(0, 0))
			check(t, s.Add(e, efd.POLLIN))
			waits(t, s, 0, 0)
			fd := e.FD()
			check(t, forget(s, e))
			return fd
		}()
		waitFor(t, func() bool { runtime.GC(); return !isOpen(fd) }, "after %s the set keeps the handle from the collector", name)
		runtime.KeepAlive(s)
	}
}

// What comes and goes without a wait takes no memory.
func TestPollSetDoesNotGrow(t *testing.T) {
	s, e, other := newPollSet(t, efd.POLLIN), newEventFD(t, 0, 0), newEventFD(t, 1, 0)
	check(t, s.Add(other, efd.POLLIN))
	grown := func(rounds int) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range rounds {
			check(t, s.Add(e, efd.POLLIN))
			check(t, s.Remove(e))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
	}
	grown(100)
	if n := grown(20000); n > 100_000 {
		t.Errorf("20,000 times Add and Remove left %d bytes", n)
	}
	waits(t, s, efd.Forever, 1)
	ready(t, s, 1, member{other, efd.POLLIN})
}

// Ready keeps the order of Add, whatever has been removed and added again.
func TestPollSetOrder(t *testing.T) {
	s := newPollSet(t, efd.POLLIN)
	var all []*efd.EventFD
	for range 40 {
		e := newEventFD(t, 1, 0)
		all = append(all, e)
		check(t, s.Add(e, efd.POLLIN))
	}
	var want []syscall.Conn
	for i, e := range all {
		if i%4 != 0 {
			check(t, s.Remove(e))
		} else {
			want = append(want, e)
		}
		if i%16 == 5 {
			waits(t, s, 0, len(all)-i-1+len(want))
		}
	}
	for _, e := range all[1:3] {
		check(t, s.Add(e, efd.POLLIN))
		want = append(want, e)
	}
	waits(t, s, 0, len(want))
	var got []syscall.Conn
	for c := range s.Ready() {
		got = append(got, c)
	}
	if !slices.Equal(got, want) {
		t.Errorf("Ready yields %v, want %v", got, want)
	}
}

// A duplicate is closed through the scheduler: SO_LINGER has its time, neither
// a collection nor a wait is held up, and the data arrive.
func TestPollSetOfALingeringConn(t *testing.T) {
	for name, waiting := range map[string]bool{"Remove": false, "Remove during a wait": true} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				if closesLingering(t, waiting) {
					return
				}
			}
			t.Error("no collection began within the first half of the time to linger")
		})
	}
}

// closesLingering reports false if the collection began so late that the close may
// have ended before it.
func closesLingering(t *testing.T, waiting bool) bool {
	const linger = 2 * time.Second
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	in, err := l.Accept() // and never read
	check(t, err)
	defer in.Close()
	c := out.(*net.TCPConn)
	c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	for err == nil {
		_, err = c.Write(make([]byte, 1<<20))
	}
	check(t, c.SetLinger(int(linger/time.Second)))
	stop := newEventFD(t, 0, 0)
	s := newPollSet(t, efd.POLLIN, c, stop)
	check(t, c.Close())
	var p *parked
	if waiting {
		p = park(t, callPpoll, func() { waits(t, s, efd.Forever, 1) })
	}
	start := time.Now()
	removed := make(chan time.Duration, 1)
	go func() { s.Remove(c); removed <- time.Since(start) }()
	if waiting { // the wait goes on
		check(t, stop.Signal())
		p.wait(t)
	}
	waitFor(t, func() bool { return goroutinesIn("(*member).release", []string{"syscall"}) > 0 || len(removed) > 0 },
		"no goroutine closes the member's duplicate, and Remove has not ended")
	began := time.Since(start)
	runtime.GC()
	ended := time.Since(start)
	if took := wait(t, removed, "Remove does not end"); !waiting && took < linger*9/10 {
		t.Errorf("Remove took %v: the time to linger is cut short", took)
	}
	if began > linger/2 {
		return false
	}
	if ended > linger*9/10 {
		t.Errorf("a collection was held up from %v to %v after the close began", began, ended)
	}
	return true
}

func TestPollSetAddFD(t *testing.T) {
	s, e := newPollSet(t, efd.POLLIN), newEventFD(t, 1, 0)
	r, w := pipe(t)
	check(t, s.Add(e, efd.POLLIN))
	check(t, s.AddFD(r.fd, efd.POLLIN))
	wantErr(t, "AddFD twice", s.AddFD(r.fd, efd.POLLOUT), unix.EEXIST)
	wantErr(t, "Add of the same FD", s.Add(efd.FD(r.fd), efd.POLLOUT), unix.EEXIST)
	waits(t, s, 0, 1)
	put(t, w.fd, 1)
	waits(t, s, efd.Forever, 2)
	ready(t, s, 2, member{e, efd.POLLIN}, member{efd.FD(r.fd), efd.POLLIN})
	check(t, s.Modify(efd.FD(r.fd), efd.POLLPRI))
	waits(t, s, 0, 1)
	check(t, s.Modify(efd.FD(r.fd), efd.POLLIN))
	r.close()
	waits(t, s, 0, 2)
	ready(t, s, 2, member{e, efd.POLLIN}, member{efd.FD(r.fd), efd.POLLNVAL})
	check(t, s.Remove(efd.FD(r.fd)))
	wantErr(t, "Remove twice", s.Remove(efd.FD(r.fd)), unix.ENOENT)

	// It is neither duplicated nor closed.
	r, _ = pipe(t)
	equal(t, "calls", strings.ReplaceAll(calls(t, func() { check(t, s.AddFD(r.fd, efd.POLLIN)) }), "64", ""), "fcntl")
	equal(t, "calls", calls(t, func() { check(t, s.Remove(efd.FD(r.fd))) }), "")
	check(t, s.AddFD(r.fd, efd.POLLIN))
	check(t, s.Close())
	if !isOpen(r.fd) {
		t.Error("Close closed the caller's number")
	}
}

// The number of a closed handle, and others that poll(2) would skip, are refused.
func TestPollSetRefusesNumbers(t *testing.T) {
	s, e := newPollSet(t, efd.POLLIN), newEventFD(t, 0, 0)
	check(t, e.Close())
	for _, fd := range []int{e.FD(), -5, math.MinInt, freeNumber(t)} {
		for name, err := range map[string]error{"AddFD": s.AddFD(fd, efd.POLLIN), "Add": s.Add(efd.FD(fd), efd.POLLIN), "Add of a Conn": s.Add(badConn{fd}, efd.POLLIN)} {
			if !errors.Is(err, unix.EBADF) || name != "Add of a Conn" && !strings.Contains(err.Error(), strconv.Itoa(fd)) {
				t.Errorf("%s of %d: %v, want EBADF that names it", name, fd, err)
			}
		}
	}
	wantErr(t, "SyscallConn", second(efd.FD(-1).SyscallConn()), unix.EBADF)
}

// An error of a set of several numbers says which one it is of.
func TestPollSetNamesTheNumber(t *testing.T) {
	s := newPollSet(t, efd.POLLIN)
	r, _ := pipe(t)
	check(t, s.AddFD(r.fd, efd.POLLIN))
	equal(t, "AddFD", s.AddFD(r.fd, efd.POLLIN).Error(), fmt.Sprintf("efd: PollSet.Add: fd %d is a member already (EEXIST)", r.fd))
	check(t, s.Remove(efd.FD(r.fd)))
	equal(t, "Remove", s.Remove(efd.FD(r.fd)).Error(), fmt.Sprintf("efd: PollSet.Remove: fd %d is not a member (ENOENT)", r.fd))
}

// badConn hands out any number.
type badConn struct{ fd int }

func (c badConn) SyscallConn() (syscall.RawConn, error) { return c, nil }
func (c badConn) Control(f func(uintptr)) error         { f(uintptr(c.fd)); return nil }
func (c badConn) Read(func(uintptr) bool) error         { return nil }
func (c badConn) Write(func(uintptr) bool) error        { return nil }

// An FD is a syscall.Conn: its RawConn waits, and Epoll.AddConn takes it.
func TestFDIsAConn(t *testing.T) {
	r, w := pipe(t)
	raw, err := efd.FD(r.fd).SyscallConn()
	check(t, err)
	check(t, raw.Control(func(fd uintptr) { equal(t, "number", int(fd), r.fd) }))
	var b [1]byte
	got := 0
	p := park(t, callPpoll, func() {
		check(t, raw.Read(func(fd uintptr) bool {
			n, err := unix.Read(int(fd), b[:])
			got = n
			return err != unix.EAGAIN
		}))
	})
	put(t, w.fd, 7)
	p.wait(t)
	equal(t, "bytes", got, 1)
	ep := newEpoll(t)
	check(t, ep.AddConn(efd.FD(w.fd), efd.EPOLLOUT, 3))
	events(t, ep, event{efd.EPOLLOUT, 3})
	w.close()
	raw, err = efd.FD(w.fd).SyscallConn()
	check(t, err)
	wantErr(t, "Write", raw.Write(func(uintptr) bool { return false }), unix.EBADF)
}

// A deadline of the context is the limit of the call, to the nanosecond.
func TestPollSetWaitContextPassesTheDeadline(t *testing.T) {
	s := newPollSet(t, efd.POLLIN, newEventFD(t, 0, 0))
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	stop, end := context.WithCancel(ctx)
	var made []*efd.Call
	var err error
	p := onThread(func() { made = traced(t, func() { _, err = s.WaitContext(stop) }) })
	waitAsleep(t, p.tid, callPpoll)
	end()
	p.wait(t)
	if err != context.Canceled {
		t.Errorf("WaitContext: %v", err)
	}
	for _, c := range made {
		if strings.HasPrefix(c.Syscall, "ppoll") && c.Args[2].In != "{tv_sec=0, tv_nsec=0}" {
			if left := limitOf(t, c); left > time.Hour || left < 50*time.Minute {
				t.Errorf("%v: want the hour of the deadline", c)
			}
			return
		}
	}
	t.Errorf("no ppoll with a limit: %v", texts(made))
}

// What ends at the deadline ends by the kernel's timer, and says so, though the
// context's own has not run yet.
func TestPollSetDeadlineIsTheKernels(t *testing.T) {
	s := newPollSet(t, efd.POLLIN, newEventFD(t, 0, 0))
	for range 20 {
		const limit = 200 * time.Microsecond
		lazy := lateContext{context.Background(), time.Now().Add(limit), make(chan struct{})}
		n, err := s.WaitContext(lazy)
		if n != 0 || err != context.DeadlineExceeded || time.Now().Before(lazy.deadline) {
			t.Errorf("WaitContext = %d, %v, %v before the deadline; want DeadlineExceeded", n, err, time.Until(lazy.deadline))
		}
	}
}

// lateContext has a deadline that it never notices itself.
type lateContext struct {
	context.Context
	deadline time.Time
	done     chan struct{}
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }
func (c lateContext) Done() <-chan struct{}       { return c.done }

func TestPollSetAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("what the race detector sees is passed by way of the heap")
	}
	e := newEventFD(t, 1, 0)
	s := newPollSet(t, efd.POLLIN, e)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timed, stop := context.WithTimeout(ctx, time.Hour)
	defer stop()
	gone := done()
	for name, fn := range map[string]func(){
		"Modify":                       func() { s.Modify(e, efd.POLLIN) },
		"WaitContext, ready":           func() { s.WaitContext(ctx) },
		"WaitContext, ready, deadline": func() { s.WaitContext(timed) },
		"WaitContext, done":            func() { s.WaitContext(gone) },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestNilPollSet(t *testing.T) {
	var s *efd.PollSet
	e := newEventFD(t, 0, 0)
	for name, err := range map[string]error{
		"Add": s.Add(e, 0), "AddFD": s.AddFD(0, 0), "Modify": s.Modify(e, 0), "Remove": s.Remove(e),
		"Wait": second(s.Wait(0, nil)), "WaitContext": second(s.WaitContext(context.Background())), "Close": s.Close(),
	} {
		equal(t, name, err, os.ErrInvalid)
	}
	for range s.Ready() {
		t.Error("a nil set has a member")
	}
}

// EBUSY can serve as a lock: what a wait has written is seen by the next waiter.
func TestPollSetBusyIsALock(t *testing.T) {
	s := newPollSet(t, efd.POLLIN, newEventFD(t, 1, 0))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if _, err := s.Wait(0, nil); err != nil && !errors.Is(err, unix.EBUSY) {
					t.Error(err)
				}
			}
		})
	}
	testenv.Within(t, "the waits to end", wg.Wait)
}

// A wait that comes in by the mutex, because the state changed under it, and one
// that needs no mutex are not in ppoll at once.
func TestPollSetWaitsExcludeEachOther(t *testing.T) {
	s := newPollSet(t, efd.POLLIN, newEventFD(t, 1, 0))
	var inside, overlaps atomic.Int32
	defer efd.AddTracer(func(c *efd.Call) { // runs before the wait ends
		if !strings.HasPrefix(c.Syscall, "ppoll") {
			return
		}
		if inside.Add(1) > 1 {
			overlaps.Add(1)
		}
		runtime.Gosched()
		inside.Add(-1)
	})()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				s.Wait(0, nil)
			}
		})
	}
	testenv.Within(t, "the waits to end", wg.Wait)
	if n := overlaps.Load(); n > 0 {
		t.Errorf("%d waits were in ppoll together with another", n)
	}
}
