//go:build linux

package efd_test

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

var closeRounds = flag.Int("close-rounds", 400, "rounds of each race against Close")

// victims are foreign eventfds that take the numbers just freed. Whoever uses
// a number that is no longer its own changes their count.
type victims struct {
	fds [3]int
}

const victimCount = 1<<20 + 7

func takeNumbers(t testing.TB) (v victims) {
	for i := range v.fds {
		fd, err := unix.Eventfd(victimCount, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			t.Fatal(err)
		}
		v.fds[i] = fd
	}
	return v
}

func (v victims) check(t testing.TB) {
	for _, fd := range v.fds {
		if n, err := efd.CountOf(fd); n != victimCount {
			t.Errorf("somebody else's eventfd under number %d counts %d, want %d (%v)", fd, n, victimCount, err)
		}
		unix.Close(fd)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// untilClosed makes a call over and over, until it is told that the handle was
// closed. It may fail with one of two errors meanwhile.
func untilClosed(t *testing.T, call func() error, mayBe, orBe error) {
	for ; ; runtime.Gosched() {
		err := call()
		if err == os.ErrClosed {
			return
		}
		if err != nil && !errors.Is(err, mayBe) && !errors.Is(err, orBe) {
			t.Errorf("%v, want os.ErrClosed, or %v or %v before it", err, mayBe, orBe)
			return
		}
	}
}

// A handle is used by all its methods while it closes, and its number is taken
// at once.
func TestCloseRacesEventFD(t *testing.T) {
	for range *closeRounds {
		e := must(efd.New(0, 0))
		other := must(efd.New(0, 0))
		var s efd.PollSet
		p := must(efd.NewEpoll())
		var wg sync.WaitGroup
		until := func(call func() error) { wg.Go(func() { untilClosed(t, call, unix.EAGAIN, unix.EEXIST) }) }
		ctx := context.Background()
		until(func() error { _, err := e.Read(); return err })
		until(func() error { return e.Write(3) })
		until(func() error { _, err := e.ReadContext(ctx); return err })
		until(func() error { return e.WriteContext(ctx, efd.MaxCount) })
		until(func() error {
			d, err := e.Dup()
			if err == nil {
				err = d.Close()
			}
			return err
		})
		until(func() error {
			err := p.AddConn(e, efd.EPOLLIN, 0)
			p.DeleteConn(e)
			return err
		})
		if err := s.Add(e, efd.POLLOUT); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(other, efd.POLLIN); err != nil {
			t.Fatal(err)
		}
		until(func() error { _, err := s.Wait(efd.Forever, nil); return err })
		for range 3 {
			runtime.Gosched()
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		v := takeNumbers(t)
		testenv.Within(t, "all users of a handle that is closed", wg.Wait)
		for c, ev := range s.Ready() {
			if c != e || ev != efd.POLLNVAL {
				t.Errorf("Ready yields %v of %T, want POLLNVAL of the closed handle alone", ev, c)
			}
		}
		s.Close()
		if list, err := p.Interest(); err == nil && len(list) > 0 {
			t.Errorf("the epoll still has %v", list)
		}
		p.Close()
		other.Close()
		v.check(t)
		if t.Failed() {
			return
		}
	}
}

func TestCloseRacesEpoll(t *testing.T) {
	for range *closeRounds {
		p, e := must(efd.NewEpoll()), must(efd.New(0, 0))
		var wg sync.WaitGroup
		until := func(call func() error) { wg.Go(func() { untilClosed(t, call, unix.EEXIST, unix.ENOENT) }) }
		ctx := context.Background()
		until(func() error { _, err := p.Wait(make([]efd.EpollEvent, 2), efd.Forever, nil); return err })
		until(func() error { _, err := p.Wait(make([]efd.EpollEvent, 2), time.Hour, nil); return err })
		until(func() error { _, err := p.WaitContext(ctx, make([]efd.EpollEvent, 2)); return err })
		until(func() error { return p.AddConn(e, efd.EPOLLIN, 0) })
		until(func() error { return p.DeleteConn(e) })
		for range 3 {
			runtime.Gosched()
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		v := takeNumbers(t)
		testenv.Within(t, "all callers of a handle that is closed", wg.Wait)
		v.check(t)
		e.Close()
		if t.Failed() {
			return
		}
	}
}

func TestCloseRacesPollSet(t *testing.T) {
	for range *closeRounds {
		var s efd.PollSet
		e, f := must(efd.New(0, 0)), must(efd.New(0, 0))
		var wg sync.WaitGroup
		until := func(call func() error) { wg.Go(func() { untilClosed(t, call, unix.EEXIST, unix.ENOENT) }) }
		until(func() error { _, err := s.Wait(efd.Forever, nil); return err })
		until(func() error { return s.Add(e, efd.POLLIN) })
		until(func() error { return s.Remove(e) })
		until(func() error { return s.Add(f, efd.POLLIN) })
		until(func() error { return s.Modify(f, efd.POLLIN|efd.POLLPRI) })
		for range 3 {
			runtime.Gosched()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		v := takeNumbers(t)
		testenv.Within(t, "all threads of the race", wg.Wait)
		e.Close()
		f.Close()
		v.check(t)
		if t.Failed() {
			return
		}
	}
}

// waiters runs call on n goroutines and returns what waits for all of them to
// end in os.ErrClosed.
func waiters(t *testing.T, n int, call func() error) (wait func()) {
	errs := make(chan error, n)
	for range n {
		go func() { errs <- call() }()
	}
	return func() {
		t.Helper()
		for range n {
			select {
			case err := <-errs:
				if err != os.ErrClosed {
					t.Errorf("%v, want os.ErrClosed", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("a wait goes on after Close")
			}
		}
	}
}

func TestCloseEndsContextWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e := newEventFD(t, 0, 0)
	p := newEpoll(t)
	read := waiters(t, 20, func() error { _, err := e.ReadContext(ctx); return err })
	wait := waiters(t, 20, func() error { _, err := p.WaitContext(ctx, make([]efd.EpollEvent, 1)); return err })
	write := waiters(t, 20, func() error {
		for { // The readers take what fits.
			if err := e.WriteContext(ctx, 0); err != nil {
				return err
			}
			runtime.Gosched()
		}
	})
	e.Close()
	p.Close()
	read()
	wait()
	write()
}

// Waits that sleep in the kernel, each on a thread, with nothing registered.
func TestCloseEndsEpollSleepers(t *testing.T) {
	const n = 12
	p := newEpoll(t)
	tids := make(chan int, n)
	ended := waiters(t, n, func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tids <- unix.Gettid()
		_, err := p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)
		return err
	})
	for range n {
		waitAsleep(t, testenv.Receive(t, tids, "the thread that waits"), callEpoll)
	}
	if list, err := p.Interest(); err != nil || len(list) > 0 {
		t.Errorf("Interest = %v, %v; want nothing registered", list, err)
	}
	p.Close()
	ended()
}

func TestCloseDoesNotWaitForBlockedRead(t *testing.T) {
	e := newEventFD(t, 0, efd.Blocking)
	d, err := e.Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	fd := e.FD()
	tid, done := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		_, err := e.Read()
		done <- err
	}()
	waitAsleep(t, testenv.Receive(t, tid, "the thread that reads"), callRead)
	if err := e.Close(); err != nil || e.FD() != -1 {
		t.Fatalf("Close: %v, FD %d", err, e.FD())
	}
	if !isOpen(fd) {
		t.Error("the number was closed under a read")
	}
	d.Write(1)
	if err := testenv.Receive(t, done, "the end of the read"); err != nil {
		t.Error(err)
	}
	if isOpen(fd) {
		t.Error("the last user left the number open")
	}
}

// isOpen reports whether fd is an open descriptor.
func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// A handle that is lost without Close is closed in the end.
func TestLostHandlesAreClosed(t *testing.T) {
	lose := map[string]func() int{
		"EventFD": func() int {
			e, err := efd.New(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			return e.FD()
		},
		"EventFD that waited": func() int {
			e, err := efd.New(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			e.ReadContext(ctx)
			return e.FD()
		},
		"Epoll": func() int {
			p, err := efd.NewEpoll()
			if err != nil {
				t.Fatal(err)
			}
			return p.FD()
		},
		"Epoll and its registered handle": func() int {
			p, err := efd.NewEpoll()
			if err != nil {
				t.Fatal(err)
			}
			e, err := efd.New(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.AddConn(e, efd.EPOLLIN, 0); err != nil {
				t.Fatal(err)
			}
			return e.FD()
		},
		"PollSet and its member": func() int {
			e, err := efd.New(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			s := new(efd.PollSet)
			if err := s.Add(e, efd.POLLIN); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Wait(time.Microsecond, nil); err != nil {
				t.Fatal(err)
			}
			return e.FD()
		},
	}
	first, err := efd.NewEpoll() // makes the eventfd of the process, which stays
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	for name, make := range lose {
		t.Run(name, func(t *testing.T) {
			before, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			if fd := make(); fd < 0 {
				t.Fatal(fd)
			}
			waitFor(t, func() bool {
				runtime.GC()
				now, err := os.ReadDir("/proc/self/fd")
				return err == nil && len(now) <= len(before)
			}, "the collector leaves it open")
		})
	}
}

// An Epoll keeps what AddConn registered, however it is lost.
func TestRegisteredHandleIsKept(t *testing.T) {
	p := newEpoll(t)
	fd := func() int {
		e, err := efd.New(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.AddConn(e, efd.EPOLLIN, 0); err != nil {
			t.Fatal(err)
		}
		return e.FD()
	}()
	for range 3 {
		runtime.GC()
	}
	if list, err := p.Interest(); err != nil || len(list) != 1 || list[0].FD != fd {
		t.Errorf("Interest = %v, %v; want number %d", list, err, fd)
	}
	p.Close()
	waitFor(t, func() bool { runtime.GC(); return !isOpen(fd) }, "the collector leaves it open")
}

// A duplicate keeps a registration alive whose number is closed. What AddConn
// registered leaves nothing behind.
func TestGhosts(t *testing.T) {
	p := newEpoll(t)
	e := newEventFD(t, 1, 0)
	d, err := e.Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := p.AddConn(e, efd.EPOLLIN, 1); err != nil {
		t.Fatal(err)
	}
	e.Close()
	if list, err := p.Interest(); err != nil || len(list) != 0 {
		t.Errorf("after AddConn and Close: Interest = %v, %v; want none", list, err)
	}
	f, err := d.Dup()
	if err != nil {
		t.Fatal(err)
	}
	fd := f.FD()
	if err := p.Add(fd, efd.EPOLLIN, 2); err != nil {
		t.Fatal(err)
	}
	f.Close()
	list, err := p.Interest()
	if want := (efd.Interest{FD: fd, Events: efd.EPOLLIN | efd.EPOLLERR | efd.EPOLLHUP, Data: 2}); err != nil || len(list) != 1 || list[0] != want {
		t.Errorf("after Add and Close: Interest = %v, %v; want %v", list, err, want)
	}
	if err := p.Delete(fd); err == nil {
		t.Error("Delete of a ghost succeeds: then it is none")
	}
}

// Where nothing can be registered, a Wait ends as soon as it can.
func TestCloseWithoutDescriptors(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	p := newEpoll(t)
	tid := make(chan int)
	wait := waiters(t, 1, func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		_, err := p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)
		return err
	})
	waitAsleep(t, testenv.Receive(t, tid, "the thread that waits"), callEpoll)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	err := p.Close()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Error(err)
	}
	wait()
}

func TestInfoOfWhatIsNoEventFD(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := efd.FromFD(int(r.Fd())); !errors.Is(err, unix.EINVAL) {
		t.Errorf("FromFD of a pipe: %v, want EINVAL", err)
	}
	if _, err := r.Stat(); errors.Is(err, fs.ErrClosed) {
		t.Error("FromFD closed what it refused")
	}
	for _, fd := range []int{-1, 1 << 20} {
		if _, err := efd.FromFD(fd); !errors.Is(err, unix.EBADF) {
			t.Errorf("FromFD(%s): %v, want EBADF", strconv.Itoa(fd), err)
		}
	}
}

// An epoll that closes during WaitContext's last call yields no event: it may
// be the one that ends the waits of others.
func TestWaitContextSeesTheClose(t *testing.T) {
	p, e := newEpoll(t), newEventFD(t, 1, 0)
	check(t, p.AddConn(e, efd.EPOLLIN, 0))
	closed := 0
	defer efd.AddTracer(func(c *efd.Call) {
		if c.Syscall == "epoll_pwait" && c.Ret == 1 {
			closed++
			p.Close()
		}
	})()
	n, err := p.WaitContext(context.Background(), make([]efd.EpollEvent, 1))
	if n != 0 || err != os.ErrClosed || closed != 1 {
		t.Errorf("WaitContext = %d, %v after %d events; want os.ErrClosed after one", n, err, closed)
	}
}
