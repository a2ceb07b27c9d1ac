//go:build linux

package efd_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// sleeper waits on p, on a thread of its own.
type sleeper struct {
	*parked
	n   int
	err error
}

func sleepOn(t testing.TB, p *efd.Epoll, timeout time.Duration) *sleeper {
	t.Helper()
	s := new(sleeper)
	s.parked = park(t, callEpoll, func() { s.n, s.err = p.Wait(make([]efd.EpollEvent, 2), timeout, nil) })
	return s
}

func (s *sleeper) ends(t testing.TB, want error) {
	t.Helper()
	s.wait(t)
	if s.n != 0 || s.err != want {
		t.Errorf("Wait = %d, %v; want %v", s.n, s.err, want)
	}
}

// What Close and Wake need, there is before the sleep: they make no call that
// wants a descriptor.
func TestEndingWaitsNeedsNothing(t *testing.T) {
	p := newEpoll(t)
	for _, c := range []struct {
		end  func() error
		want error
	}{{p.Wake, efd.ErrWoken}, {p.Close, os.ErrClosed}} {
		s := sleepOn(t, p, efd.Forever)
		for _, call := range traced(t, func() { check(t, c.end()) }) {
			if call.Syscall != "epoll_ctl" && call.Syscall != "close" {
				t.Errorf("it made %v", call)
			}
		}
		s.ends(t, c.want)
	}
}

// Without a descriptor to spare even before the sleep, Close and Wake end it.
func TestWaitsEndWithoutDescriptors(t *testing.T) {
	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	p := newEpoll(t)
	e := newEventFD(t, 0, 0)
	check(t, p.AddConn(e, efd.EPOLLIN, 7))
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}))
	defer func() { check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old)) }()
	const waits = 4
	ended := make(chan error, waits)
	for range waits {
		go func() {
			_, err := p.Wait(make([]efd.EpollEvent, 1), time.Hour, nil)
			ended <- err
		}()
	}
	start := time.Now()
	n, err := p.Wait(make([]efd.EpollEvent, 1), 35*time.Millisecond, nil)
	if took := time.Since(start); n != 0 || err != nil || took < 35*time.Millisecond {
		t.Errorf("Wait = %d, %v after %v; want a time-out after 35ms", n, err, took)
	}
	check(t, p.Wake())
	if err := wait(t, ended, "Wake ends no wait"); err != efd.ErrWoken {
		t.Errorf("Wait: %v, want ErrWoken", err)
	}
	check(t, p.Close())
	for range waits - 1 {
		if err := wait(t, ended, "Close does not end the wait"); err != os.ErrClosed {
			t.Errorf("Wait: %v, want os.ErrClosed", err)
		}
	}
}

// A handle that closes, or is woken, ends its own waits. Whoever shares the
// epoll goes on, and nothing is left there.
func TestSharedEpollIsLeftAlone(t *testing.T) {
	p, e := newEpoll(t), newEventFD(t, 0, 0)
	fd := own2(t)(unix.FcntlInt(uintptr(p.FD()), unix.F_DUPFD_CLOEXEC, 0)).fd
	d, err := p.Dup()
	check(t, err)
	defer d.Close()
	check(t, p.AddConn(e, efd.EPOLLIN, 7))

	others := sleepOn(t, d, efd.Forever)
	for range 20 {
		s := sleepOn(t, p, efd.Forever)
		check(t, p.Wake())
		s.ends(t, efd.ErrWoken)
	}
	own, more := sleepOn(t, p, efd.Forever), sleepOn(t, p, time.Hour)
	check(t, p.Close())
	own.ends(t, os.ErrClosed)
	more.ends(t, os.ErrClosed)
	waitAsleep(t, others.tid, callEpoll)
	others.running(t)
	if n, err := unix.EpollWait(fd, make([]unix.EpollEvent, 4), 0); n != 0 || err != nil {
		t.Errorf("who shares it gets %d, %v; want no event", n, err)
	}
	if list := interest(t, d); len(list) != 1 || list[0].Data != 7 {
		t.Errorf("Interest = %v, want what AddConn registered", list)
	}
	check(t, e.Signal())
	others.wait(t)
	if others.n != 1 || others.err != nil {
		t.Errorf("the wait of the duplicate = %d, %v; want 1", others.n, others.err)
	}
	check(t, d.Close())
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil || strings.Count(string(text), "tfd:") != 1 {
		t.Errorf("%v, %s; want one registration", err, text)
	}
}

// Handles that Dup made report to one list who is registered: whichever of them
// is left, a member that closes takes itself out.
func TestDupOfEpollLeavesNoGhost(t *testing.T) {
	for name, closeFirst := range map[string]bool{"the first closes": true, "the second closes": false} {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		dup(t, e) // so that a registration would live on
		d, err := p.Dup()
		check(t, err)
		check(t, p.AddConn(e, efd.EPOLLIN, 7))
		wantErr(t, "AddConn by the other", d.AddConn(e, efd.EPOLLIN, 7), unix.EEXIST)
		left := p
		if closeFirst {
			check(t, p.Close())
			left = d
		} else {
			check(t, d.Close())
		}
		events(t, left, event{efd.EPOLLIN, 7})
		check(t, left.ModifyConn(e, efd.EPOLLIN, 8))
		check(t, e.Close())
		if list := interest(t, left); len(list) != 0 {
			t.Errorf("%s: Interest = %v", name, list)
		}
		events(t, left)
		check(t, left.Close())
	}
}

func TestEpollFile(t *testing.T) {
	p, e := newEpoll(t), newEventFD(t, 1, 0)
	f, err := p.File()
	check(t, err)
	defer f.Close()
	check(t, p.AddConn(e, efd.EPOLLIN, 9))
	check(t, p.Close())
	ev := make([]unix.EpollEvent, 2)
	if n, err := unix.EpollWait(int(f.Fd()), ev, 0); n != 1 || err != nil {
		t.Errorf("by the file: %d, %v", n, err)
	}
	if fdFlags(t, int(f.Fd())) != unix.FD_CLOEXEC {
		t.Error("it is not close-on-exec")
	}
	if _, err := p.File(); err != os.ErrClosed {
		t.Errorf("File of a closed epoll: %v", err)
	}
	if _, err := p.Dup(); err != os.ErrClosed {
		t.Errorf("Dup of a closed epoll: %v", err)
	}
}

func TestWake(t *testing.T) {
	room := make([]efd.EpollEvent, 4)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ways := map[string]func(p *efd.Epoll) (int, error){
		"Wait":                func(p *efd.Epoll) (int, error) { return p.Wait(room, efd.Forever, nil) },
		"Wait with a limit":   func(p *efd.Epoll) (int, error) { return p.Wait(room, time.Hour+1, nil) },
		"Wait with a mask":    func(p *efd.Epoll) (int, error) { return p.Wait(room, time.Hour, new(efd.SigSet)) },
		"Wait that must not":  func(p *efd.Epoll) (int, error) { return p.Wait(room, 0, nil) },
		"WaitContext":         func(p *efd.Epoll) (int, error) { return p.WaitContext(context.Background(), room) },
		"WaitContext, cancel": func(p *efd.Epoll) (int, error) { return p.WaitContext(ctx, room) },
	}
	for name, wait := range ways {
		t.Run(name, func(t *testing.T) {
			p, e := newEpoll(t), newEventFD(t, 0, 0)
			check(t, p.AddConn(e, efd.EPOLLIN|efd.EPOLLET, 5))
			for range 3 { // several before a wait are one
				check(t, p.Wake())
			}
			check(t, e.Signal())
			if n, err := wait(p); n != 0 || err != efd.ErrWoken {
				t.Errorf("after Wake: %d, %v; want ErrWoken", n, err)
			}
			if n, err := wait(p); n != 1 || err != nil || room[0].Data() != 5 {
				t.Errorf("after it: %d, %v; want the event, which was not taken", n, err)
			}
			equal(t, "the epoll itself", pollOne(t, p.FD(), efd.POLLIN), 0)
			equal(t, "registrations", len(interest(t, p)), 1)
		})
	}
	p := newEpoll(t)
	for range 50 {
		s := sleepOn(t, p, efd.Forever)
		check(t, p.Wake())
		s.ends(t, efd.ErrWoken)
	}
	got := make(chan error, 1)
	for range 50 {
		go func() { _, err := p.WaitContext(ctx, room); got <- err }()
		waitGoroutines(t, 1, "WaitContext", inPoller)
		check(t, p.Wake())
		equal(t, "WaitContext", wait(t, got, "no end"), efd.ErrWoken)
	}
	equal(t, "the epoll itself", pollOne(t, p.FD(), efd.POLLIN), 0)
	check(t, p.Close())
	equal(t, "Wake of a closed epoll", p.Wake(), os.ErrClosed)
}

// Each Wake ends one wait of those that sleep, whichever kind they are.
func TestWakeEndsOneWait(t *testing.T) {
	p := newEpoll(t)
	const n = 4
	ends := make(chan error, 2*n)
	for range n {
		park(t, callEpoll, func() { _, err := p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil); ends <- err })
		go func() { _, err := p.WaitContext(context.Background(), make([]efd.EpollEvent, 1)); ends <- err }()
	}
	waitGoroutines(t, 1, "WaitContext", inPoller)
	for range 2 * n {
		check(t, p.Wake())
		equal(t, "a wait", wait(t, ends, "nobody was woken"), efd.ErrWoken)
	}
	if len(ends) > 0 {
		t.Errorf("%d more waits have ended", len(ends))
	}
	equal(t, "the epoll itself", pollOne(t, p.FD(), efd.POLLIN), 0)
}

// Wakes race with waits of all kinds, with events and with time-outs. None that
// a wait was to see is lost, and none leaves the epoll readable.
func TestWakeRaces(t *testing.T) {
	p, e := newEpoll(t), newEventFD(t, 0, 0)
	check(t, p.AddConn(e, efd.EPOLLIN|efd.EPOLLET, 3))
	d, err := p.Dup()
	check(t, err)
	defer d.Close()
	ctx, stop := context.WithCancel(context.Background())
	var woken, events atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			room := make([]efd.EpollEvent, 1+i%2)
			for ctx.Err() == nil {
				var n int
				var err error
				switch i % 3 {
				case 0:
					n, err = p.Wait(room, time.Duration(i*50)*time.Microsecond, nil)
				case 1:
					n, err = p.WaitContext(ctx, room)
				case 2:
					n, err = d.Wait(room, 100*time.Microsecond, nil)
				}
				switch {
				case err == efd.ErrWoken && n == 0 && i%3 != 2:
					woken.Add(1)
				case err == nil && n <= 1:
					events.Add(int64(n))
				case err != context.Canceled:
					t.Errorf("wait %d = %d, %v", i, n, err)
				}
			}
		})
	}
	const wakes = 2000
	for i := range wakes {
		before := woken.Load()
		check(t, p.Wake())
		if i%3 == 0 {
			check(t, e.Signal())
		}
		waitFor(t, func() bool { runtime.Gosched(); return woken.Load() > before }, "wake %d ended no wait", i)
	}
	stop()
	testenv.Within(t, "the waits to end", wg.Wait)
	equal(t, "wakes", woken.Load(), wakes)
	if events.Load() == 0 {
		t.Error("no event was seen")
	}
	equal(t, "the epoll itself", pollOne(t, p.FD(), efd.POLLIN)|pollOne(t, d.FD(), efd.POLLIN), 0)
}

// A wait that is told of an event meanwhile returns it, though a Wake comes too.
func TestWakeTakesNoEvent(t *testing.T) {
	p, e := newEpoll(t), newEventFD(t, 0, 0)
	check(t, p.AddConn(e, efd.EPOLLIN|efd.EPOLLONESHOT, 3))
	room := make([]efd.EpollEvent, 3)
	for range 200 {
		var total, woken int
		s := onThread(func() {
			for total < 1 || woken < 1 {
				n, err := p.Wait(room, time.Minute, nil)
				total += n
				if err == efd.ErrWoken {
					woken++
				}
				if n > 1 || n == 1 && room[0].Data() != 3 || room[2] != (efd.EpollEvent{}) || n == 0 && err != efd.ErrWoken {
					t.Errorf("Wait = %d, %v with %v", n, err, room)
					return
				}
			}
		})
		check(t, p.Wake())
		check(t, e.Signal())
		s.wait(t)
		if _, err := e.Drain(); err != nil || t.Failed() {
			t.Fatal(err)
		}
		check(t, p.ModifyConn(e, efd.EPOLLIN|efd.EPOLLONESHOT, 3))
	}
}

// A wait makes the one call that it is for, the first that sleeps too.
func TestEpollCalls(t *testing.T) {
	p, e, room := newEpoll(t), newEventFD(t, 1, 0), make([]efd.EpollEvent, 1)
	check(t, p.AddConn(e, efd.EPOLLIN, 0))
	var made *efd.Epoll
	for name, c := range map[string]struct {
		fn   func()
		want string
	}{
		"NewEpoll":    {func() { made = must(efd.NewEpoll()) }, "epoll_create1"},
		"Wait":        {func() { p.Wait(room, efd.Forever, nil) }, "epoll_pwait"},
		"WaitContext": {func() { p.WaitContext(context.Background(), room) }, "epoll_pwait"},
		"Wake":        {func() { p.Wake(); p.Wait(room, 0, nil) }, ""},
		"Dup":         {func() { must(p.Dup()).Close() }, "fcntl close"},
		"Interest":    {func() { p.Interest() }, "openat read read close"},
	} {
		got := strings.ReplaceAll(calls(t, c.fn), "fcntl64", "fcntl")
		if name == "Interest" && strings.HasPrefix(got, "openat read") {
			continue
		}
		equal(t, name, got, c.want)
	}
	equal(t, "Close", calls(t, func() { made.Close() }), "close")
}

func TestWaitContextThatNeedNotWait(t *testing.T) {
	p, e, room := newEpoll(t), newEventFD(t, 1, 0), make([]efd.EpollEvent, 1)
	check(t, p.AddConn(e, efd.EPOLLIN, 0))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if n, err := p.WaitContext(ctx, room); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if p.InPoller() {
		t.Error("it is in Go's poller")
	}
	call := func() {
		if n, err := p.WaitContext(ctx, room); n != 1 || err != nil {
			t.Errorf("WaitContext = %d, %v", n, err)
		}
	}
	if raceDetector {
		return
	}
	noAllocs(t, call)
	e.Drain()
	short, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	p.WaitContext(short, room)
	if !p.InPoller() {
		t.Error("it is not in Go's poller")
	}
	check(t, e.Signal())
	noAllocs(t, call)
	noAllocs(t, func() { p.Wake(); p.Wait(room, 0, nil) })
}

func TestEpollRoom(t *testing.T) {
	p := newEpoll(t)
	const most = (1<<31 - 1) / unsafe.Sizeof(efd.EpollEvent{})
	var one efd.EpollEvent
	if unsafe.Sizeof(uintptr(0)) == 8 && !raceDetector { // which looks at the slice
		tooMany := unsafe.Slice(&one, most+1) // which is refused before it is looked at
		for name, err := range map[string]error{
			"Wait":        second(p.Wait(tooMany, 0, nil)),
			"WaitContext": second(p.WaitContext(context.Background(), tooMany)),
		} {
			if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "events") || !strings.Contains(err.Error(), "at most") {
				t.Errorf("%s of too many events: %v", name, err)
			}
		}
	}
	check(t, p.Close())
	equal(t, "Wait without room, closed", second(p.Wait(nil, 0, nil)), os.ErrClosed)
	equal(t, "WaitContext without room, closed", second(p.WaitContext(context.Background(), nil)), os.ErrClosed)
}

func second[T any](_ T, err error) error { return err }

func TestNilEpoll(t *testing.T) {
	var p *efd.Epoll
	room := make([]efd.EpollEvent, 1)
	e := newEventFD(t, 0, 0)
	for name, err := range map[string]error{
		"Add": p.Add(e.FD(), 0, 0), "Modify": p.Modify(e.FD(), 0, 0), "Delete": p.Delete(e.FD()),
		"AddConn": p.AddConn(e, 0, 0), "ModifyConn": p.ModifyConn(e, 0, 0), "DeleteConn": p.DeleteConn(e),
		"Wait": second(p.Wait(room, 0, nil)), "WaitContext": second(p.WaitContext(context.Background(), room)), "Wake": p.Wake(),
		"Interest": second(p.Interest()), "BusyPoll": second(p.BusyPoll()), "SetBusyPoll": p.SetBusyPoll(efd.BusyPoll{}),
		"SyscallConn": second(p.SyscallConn()), "Dup": second(p.Dup()), "File": second(p.File()), "Close": p.Close(),
	} {
		equal(t, name, err, os.ErrInvalid)
	}
	equal(t, "FD", p.FD(), -1)

	p = newEpoll(t)
	s := pollset(t)
	for name, err := range map[string]error{
		"AddConn": p.AddConn(nil, 0, 0), "ModifyConn": p.ModifyConn(nil, 0, 0), "DeleteConn": p.DeleteConn(nil),
		"AddConn of a nil EventFD": p.AddConn((*efd.EventFD)(nil), efd.EPOLLIN, 0), "AddConn of a nil Epoll": p.AddConn((*efd.Epoll)(nil), efd.EPOLLIN, 0),
		"ModifyConn of a nil Epoll": p.ModifyConn((*efd.Epoll)(nil), efd.EPOLLIN, 0), "DeleteConn of a nil EventFD": p.DeleteConn((*efd.EventFD)(nil)),
		"PollSet.Add": s.Add(nil, 0), "PollSet.Add of a nil Epoll": s.Add((*efd.Epoll)(nil), 0), "PollSet.Remove": s.Remove(nil),
	} {
		if !errors.Is(err, unix.EINVAL) || !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "nil") {
			t.Errorf("%s: %v, want the same of each", name, err)
		}
	}
}

// Errors of epoll_ctl name the number and the rule.
func TestEpollErrorsNameTheArgument(t *testing.T) {
	p := newEpoll(t)
	f, err := os.Open(os.Args[0])
	check(t, err)
	defer f.Close()
	gone := freeNumber(t)
	for _, c := range []struct {
		err   error
		errno unix.Errno
		says  []string
	}{
		{p.AddConn(f, efd.EPOLLIN, 0), unix.EPERM, []string{"fd " + strconv.Itoa(int(f.Fd())), "always ready", "Poll"}},
		{p.Add(gone, efd.EPOLLIN, 0), unix.EBADF, []string{"fd " + strconv.Itoa(gone), "open"}},
		{p.AddConn(efd.FD(-1), efd.EPOLLIN, 0), unix.EBADF, []string{"fd -1"}},
	} {
		var sys *os.SyscallError
		if !errors.Is(c.err, c.errno) || c.errno == unix.EPERM && !errors.As(c.err, &sys) ||
			slices.ContainsFunc(c.says, func(s string) bool { return !strings.Contains(c.err.Error(), s) }) {
			t.Errorf("%v; want %v that says %q", c.err, c.errno, c.says)
		}
	}
}

func TestNewEpollEvent(t *testing.T) {
	ev := efd.NewEpollEvent(efd.EPOLLIN|efd.EPOLLET, 1<<63|5)
	if ev.Events() != efd.EPOLLIN|efd.EPOLLET || ev.Data() != 1<<63|5 {
		t.Errorf("got %v, %#x", ev.Events(), ev.Data())
	}
}

// Detach gives the number away and ends the waits. What is registered stays.
func TestEpollDetach(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, p *efd.Epoll) (end func(t *testing.T)){
		"alone": func(*testing.T, *efd.Epoll) func(*testing.T) { return func(*testing.T) {} },
		"with a sleeper": func(t *testing.T, p *efd.Epoll) func(*testing.T) {
			s := sleepOn(t, p, efd.Forever)
			return func(t *testing.T) { s.ends(t, os.ErrClosed) }
		},
		"in Go's poller": func(t *testing.T, p *efd.Epoll) func(*testing.T) {
			got := waitsContext(p, context.Background())
			waitGoroutines(t, 1, "WaitContext", inPoller)
			return func(t *testing.T) { equal(t, "WaitContext", wait(t, got, "no end"), os.ErrClosed) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := newEpoll(t), newEventFD(t, 0, 0)
			check(t, p.AddConn(e, efd.EPOLLIN, 7))
			before := p.FD()
			end := use(t, p)
			n := own2(t)(p.Detach())
			end(t)
			if name == "alone" {
				equal(t, "number", n.fd, before)
			}
			equal(t, "FD", p.FD(), -1)
			equal(t, "Close", p.Close(), os.ErrClosed)
			equal(t, "Detach", second(p.Detach()), os.ErrClosed)
			equal(t, "FD_CLOEXEC", fdFlags(t, n.fd), unix.FD_CLOEXEC)
			waitFor(t, func() bool { runtime.GC(); return n.fd == before || !isOpen(before) }, "the handle's own number stays open")
			ev := make([]unix.EpollEvent, 2)
			if n, err := unix.EpollWait(n.fd, ev, 0); n != 0 || err != nil {
				t.Errorf("the epoll has %d events, %v", n, err)
			}
			check(t, e.Signal())
			if n, err := unix.EpollWait(n.fd, ev, 0); n != 1 || err != nil || ev[0].Fd+ev[0].Pad != 7 { // big-endian: 7 is in Pad
				t.Errorf("the epoll has %d events, %v, %v", n, err, ev)
			}
		})
	}
}
