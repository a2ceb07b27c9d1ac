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

// await returns what fn returned, or fails when it has not in half a minute.
func await(t *testing.T, what string, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatalf("%s has not returned after 30 s", what)
		return nil
	}
}

// A value that fits does not wait for one that does not, at once or later.
func TestWriteContextThatFits(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e := newEventFD(t, 0, efd.Semaphore)
	if err := e.Write(5); err != nil {
		t.Fatal(err)
	}
	large := make(chan error, 1)
	go func() { large <- e.WriteContext(ctx, efd.MaxCount) }()
	waitFor(t, e.InPoller, "the large value does not wait")
	small := make(chan error, 1)
	go func() { small <- e.WriteContext(ctx, efd.MaxCount-5) }()
	if err := await(t, "WriteContext of what fits", small); err != nil {
		t.Fatal(err)
	}
	// The counter is full. Two of three wait for room for 2 and for 1.
	go func() { small <- e.WriteContext(ctx, 2) }()
	waitFor(t, func() bool { return e.PendingWrites() == 2 }, "the value 2 does not wait")
	one := make(chan error, 1)
	go func() { one <- e.WriteContext(ctx, 1) }()
	waitFor(t, func() bool { return e.PendingWrites() == 3 }, "the value 1 does not wait")
	if _, err := e.Read(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "WriteContext of 1, which fits", one); err != nil {
		t.Fatal(err)
	}
	e.Read()
	e.Read()
	if err := await(t, "WriteContext of 2, which fits", small); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := await(t, "a cancelled WriteContext", large); !errors.Is(err, context.Canceled) {
		t.Errorf("the large value: %v", err)
	}
	if n := e.PendingWrites(); n != 0 {
		t.Errorf("%d writes are left", n)
	}
}

// A registration that fails has the errno, and is tried again.
func TestRegistrationIsTriedAgain(t *testing.T) {
	e := newEventFD(t, 1, 0)
	bottom := newEpoll(t)
	p, below := bottom, bottom
	for range 4 { // five levels in all, as many as the kernel takes
		outer := newEpoll(t)
		if err := outer.AddConn(p, efd.EPOLLIN, 0); err != nil {
			t.Fatal(err)
		}
		p, below = outer, p
	}
	if err := newEpoll(t).AddConn(p, efd.EPOLLIN, 0); err == nil {
		t.Skip("this kernel takes a sixth level")
	}
	ev := make([]efd.EpollEvent, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for range 3 {
		_, err := p.WaitContext(ctx, ev)
		var call *os.SyscallError
		if !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.EINVAL) || !errors.As(err, &call) {
			t.Fatalf("WaitContext = %v, want ELOOP of a system call", err)
		}
	}
	if err := p.DeleteConn(below); err != nil {
		t.Fatal(err)
	}
	if err := p.AddConn(e, efd.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	if n, err := p.WaitContext(ctx, ev); n != 1 || err != nil {
		t.Errorf("with room, WaitContext = %d, %v", n, err)
	}
}

// Waits in a context end with it, with Close, and with a value, whoever clears
// O_NONBLOCK, and when.
func TestContextWithoutNonblock(t *testing.T) {
	for name, run := range map[string]func(func()){
		"RWF_NOWAIT": func(fn func()) { fn() },
		"ppoll":      efd.WithoutNowait,
	} {
		t.Run(name, func(t *testing.T) {
			run(func() {
				t.Run("cleared before the first wait", func(t *testing.T) {
					waitWithoutNonblock(t, func(e *efd.EventFD) { unix.SetNonblock(e.FD(), false) })
				})
				t.Run("cleared after the first wait", func(t *testing.T) {
					waitWithoutNonblock(t, func(e *efd.EventFD) {
						short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
						defer cancel()
						e.ReadContext(short)
						e.WriteContext(short, efd.MaxCount)
						unix.SetNonblock(e.FD(), false)
					})
				})
			})
		})
	}
}

func waitWithoutNonblock(t *testing.T, prepare func(*efd.EventFD)) {
	bg := context.Background()
	calls := map[string]struct {
		init uint64 // the counter in which call has to wait
		call func(*efd.EventFD, context.Context) error
		end  func(*efd.EventFD)
	}{
		"ReadContext": {0, func(e *efd.EventFD, ctx context.Context) error {
			_, err := e.ReadContext(ctx)
			return err
		}, func(e *efd.EventFD) { e.Write(1) }},
		"WriteContext of 1": {efd.MaxCount, func(e *efd.EventFD, ctx context.Context) error {
			return e.WriteContext(ctx, 1)
		}, func(e *efd.EventFD) { e.Read() }},
		"WriteContext of much": {5, func(e *efd.EventFD, ctx context.Context) error {
			return e.WriteContext(ctx, efd.MaxCount-1)
		}, func(e *efd.EventFD) { e.Read() }},
	}
	for name, c := range calls {
		make := func(t *testing.T) *efd.EventFD {
			e := newEventFD(t, 0, 0)
			prepare(e)
			if c.init > 0 {
				if err := e.Write(c.init); err != nil {
					t.Fatal(err)
				}
			}
			return e
		}
		start := func(t *testing.T, e *efd.EventFD, ctx context.Context) <-chan error {
			done := make1()
			go func() { done <- c.call(e, ctx) }()
			return done
		}
		t.Run(name+", deadline", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
			defer cancel()
			if err := await(t, name, start(t, make(t), ctx)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		})
		t.Run(name+", Close", func(t *testing.T) {
			e := make(t)
			done := start(t, e, bg)
			time.Sleep(time.Millisecond) // whether it sleeps already is not known: both are right
			e.Close()
			if err := await(t, name, done); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%v", err)
			}
		})
		t.Run(name+", success", func(t *testing.T) {
			e := make(t)
			done := start(t, e, bg)
			time.Sleep(time.Millisecond)
			c.end(e)
			if err := await(t, name, done); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func make1() chan error { return make(chan error, 1) }

// Info.Flags is what F_GETFL gives.
func TestInfoFlagsAreOfTheOpenFile(t *testing.T) {
	e := newEventFD(t, 0, 0)
	want, err := unix.FcntlInt(uintptr(e.FD()), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := e.Info(); err != nil || info.Flags != want {
		t.Errorf("Info.Flags = %#o, %v; F_GETFL gives %#o", info.Flags, err, want)
	}
}
