//go:build linux

package efd_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// A nil handle answers with an error, as a nil os.File does.
func TestNilEventFD(t *testing.T) {
	var e *efd.EventFD
	ctx := context.Background()
	for name, call := range map[string]func() error{
		"Read":         func() error { _, err := e.Read(); return err },
		"Write":        func() error { return e.Write(1) },
		"Signal":       func() error { return e.Signal() },
		"Drain":        func() error { _, err := e.Drain(); return err },
		"ReadContext":  func() error { _, err := e.ReadContext(ctx); return err },
		"WriteContext": func() error { return e.WriteContext(ctx, 1) },
		"Info":         func() error { _, err := e.Info(); return err },
		"Dup":          func() error { _, err := e.Dup(); return err },
		"File":         func() error { _, err := e.File(); return err },
		"SyscallConn":  func() error { _, err := e.SyscallConn(); return err },
		"Detach":       func() error { _, err := e.Detach(); return err },
		"Close":        func() error { return e.Close() },
	} {
		if err := call(); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s of a nil handle: %v, want os.ErrInvalid", name, err)
		}
	}
	if fd := e.FD(); fd != -1 {
		t.Errorf("FD of a nil handle is %d", fd)
	}
}

func TestUntil(t *testing.T) {
	now := time.Now()
	if d := efd.Until(time.Time{}); d != efd.Forever {
		t.Errorf("the zero Time: %v", d)
	}
	if d := efd.Until(now.Add(-time.Hour)); d != 0 {
		t.Errorf("an hour ago: %v", d)
	}
	if d := efd.Until(now.Add(time.Hour)); d <= 59*time.Minute || d > time.Hour {
		t.Errorf("in an hour: %v", d)
	}
	if n, err := efd.Poll(nil, efd.Until(now), nil); n != 0 || err != nil { // returns
		t.Errorf("Poll = %d, %v", n, err)
	}
}

// A detached number stays open, is what FD said, and is not closed by the
// garbage collector.
func TestDetachKeepsTheNumber(t *testing.T) {
	e := newEventFD(t, 3, 0)
	want := e.FD()
	fd, err := e.Detach()
	if err != nil || fd != want {
		t.Fatalf("Detach = %d, %v; want %d", fd, err, want)
	}
	if _, err := e.Read(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Detach: %v", err)
	}
	if _, err := e.Detach(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second Detach: %v", err)
	}
	if err := e.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close after Detach: %v", err)
	}
	e = nil
	for range 5 {
		runtime.GC()
	}
	back, err := efd.FromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if v, err := back.Read(); v != 3 || err != nil {
		t.Errorf("Read = %d, %v", v, err)
	}
}

// Detach ends what Close ends.
func TestDetachEndsWaits(t *testing.T) {
	e := newEventFD(t, 0, 0)
	p := newEpoll(t)
	if err := p.AddConn(e, efd.EPOLLIN, 1); err != nil {
		t.Fatal(err)
	}
	set := newPollSet(t, efd.POLLIN, e)
	tid, done := make(chan int), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		_, err := set.Wait(efd.Forever, nil)
		done <- err
	}()
	waitAsleep(t, testenv.Receive(t, tid, "the thread that waits"), callPpoll)
	fd, err := e.Detach()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := await(t, "PollSet.Wait", done); !errors.Is(err, os.ErrClosed) {
		t.Errorf("PollSet.Wait: %v", err)
	}
	if list, err := p.Interest(); err != nil || len(list) != 0 {
		t.Errorf("the epoll has %v, %v", list, err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		t.Errorf("the number: %v", err)
	}
}

// Go's poller keeps its number: what it has is detached as a duplicate.
func TestDetachFromThePoller(t *testing.T) {
	e := newEventFD(t, 0, 0)
	done := make(chan error, 1)
	go func() { _, err := e.ReadContext(context.Background()); done <- err }()
	waitFor(t, e.InPoller, "ReadContext does not wait")
	was := e.FD()
	fd, err := e.Detach()
	if err != nil {
		t.Fatal(err)
	}
	if err := await(t, "ReadContext", done); !errors.Is(err, os.ErrClosed) {
		t.Errorf("ReadContext: %v", err)
	}
	if fd == was {
		t.Errorf("the number of the poller was given away")
	}
	back, err := efd.AdoptFD(fd, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if err := back.Write(2); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if v, err := back.ReadContext(ctx); v != 2 || err != nil {
		t.Errorf("Read = %d, %v", v, err)
	}
}

// A Read that sleeps keeps its number: a duplicate is detached.
func TestDetachOfBusyBlockingHandle(t *testing.T) {
	e := newEventFD(t, 0, efd.Blocking)
	was := e.FD()
	tid, done := make(chan int), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		_, err := e.Read()
		done <- err
	}()
	waitAsleep(t, testenv.Receive(t, tid, "the thread that reads"), callRead)
	fd, err := e.Detach()
	if err != nil || fd == was {
		t.Fatalf("Detach = %d, %v; want a duplicate of %d", fd, err, was)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte{1, 1, 1, 1, 1, 1, 1, 1}); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "Read", done); err != nil {
		t.Errorf("Read: %v", err)
	}
}

// Of Detach and Close at once, one has the number.
func TestDetachAgainstClose(t *testing.T) {
	for range 300 {
		e := newEventFD(t, 0, 0)
		var wg sync.WaitGroup
		var fd int
		var detachErr, closeErr error
		wg.Go(func() { fd, detachErr = e.Detach() })
		wg.Go(func() { closeErr = e.Close() })
		wg.Go(func() { e.Write(1); e.Read() })
		testenv.Within(t, "Detach against Close", wg.Wait)
		switch {
		case detachErr == nil && errors.Is(closeErr, os.ErrClosed):
			if err := unix.Close(fd); err != nil {
				t.Fatalf("the detached number: %v", err)
			}
		case closeErr == nil && errors.Is(detachErr, os.ErrClosed):
		default:
			t.Fatalf("Detach: %v, Close: %v", detachErr, closeErr)
		}
	}
}

func TestAdoptFD(t *testing.T) {
	fd, err := unix.Eventfd(2, unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE)
	if err != nil {
		t.Fatal(err)
	}
	e, err := efd.AdoptFD(fd, efd.Semaphore)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if v, err := e.Read(); v != 1 || err != nil {
		t.Errorf("Read = %d, %v", v, err)
	}
	if fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v", fl, err)
	}
	for _, c := range []struct {
		fd    int
		flags efd.Flag
		want  error
	}{{-1, 0, unix.EBADF}, {1 << 20, 0, unix.EBADF}, {1<<31 - 1, 0, unix.EBADF}, {fd, 8, unix.EINVAL}} {
		if _, err := efd.AdoptFD(c.fd, c.flags); !errors.Is(err, c.want) {
			t.Errorf("AdoptFD(%d, %d): %v, want %v", c.fd, c.flags, err, c.want)
		}
	}
}

// Of an eventfd that nobody said to be blocking ReadContext waits all the same.
func TestAdoptFDOfBlockingFile(t *testing.T) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	e, err := efd.AdoptFD(fd, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	got := make(chan error, 1)
	go func() { _, err := e.ReadContext(ctx); got <- err }()
	equal(t, "ReadContext of an empty counter", wait(t, got, "the end of ctx does not end it"), context.DeadlineExceeded)
	go func() {
		v, err := e.ReadContext(context.Background())
		if v != 7 {
			t.Errorf("ReadContext = %d, %v; want 7", v, err)
		}
		got <- err
	}()
	waitGoroutines(t, 1, "ReadContext", inPoller)
	check(t, e.Write(7))
	equal(t, "ReadContext", wait(t, got, "no end after Write"), nil)
}

// A Call has its descriptor and its start on the clock of Wake.Time, and the
// close by Go's poller is among the calls.
func TestCallFDAndMono(t *testing.T) {
	var mu sync.Mutex
	var calls []*efd.Call
	defer efd.AddTracer(func(c *efd.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c)
	})()
	var before, after unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
	e, err := efd.New(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.Read()
	fd := e.FD()
	efd.Poll([]efd.PollFD{{FD: int32(fd)}}, 0, nil)
	e.Close()
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)
	mu.Lock()
	defer mu.Unlock()
	want := map[string]int{"eventfd2": -1, "read": fd, "ppoll": -1, "ppoll_time64": -1, "close": fd}
	var names []string
	for _, c := range calls {
		if w, ok := want[c.Syscall]; ok && c.FD != w {
			t.Errorf("%v: FD %d, want %d", c, c.FD, w)
		}
		if c.Mono < time.Duration(before.Nano()) || c.Mono > time.Duration(after.Nano()) {
			t.Errorf("%v: Mono %v is not between %v and %v", c, c.Mono, before.Nano(), after.Nano())
		}
		names = append(names, c.Syscall)
		if c.Syscall == "close" && c.Path().Name != "eventfd_release" {
			t.Errorf("%v: path %q", c, c.Path().Name)
		}
	}
	if !slices.Contains(names, "close") || !slices.Contains(names, "read") {
		t.Errorf("calls: %v", names)
	}
}
