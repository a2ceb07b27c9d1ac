//go:build linux

package efd_test

import (
	"context"
	"errors"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var contextCases = []conformanceCase{
	{"ReadContext of a counter that is ready", func(t *testing.T) {
		v, err := newEventFD(t, 3, 0).ReadContext(context.Background())
		check(t, err)
		equal(t, "count", v, 3)
	}},
	{"ReadContext waits for a write", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		got := readsContext(e, context.Background())
		waitGoroutines(t, 1, "ReadContext", inPoller)
		check(t, e.Write(9))
		equal(t, "count", wait(t, got, "no read").v, 9)
	}},
	{"a done context wins over a ready counter", func(t *testing.T) {
		e := newEventFD(t, 3, 0)
		_, err := e.ReadContext(done())
		equal(t, "ReadContext", err, context.Canceled)
		readsOf(t, e, 3)
	}},
	{"a done context wins over room", func(t *testing.T) {
		e := newEventFD(t, 3, 0)
		equal(t, "WriteContext", e.WriteContext(done(), 1), context.Canceled)
		readsOf(t, e, 3)
	}},
	{"a done context makes no call", func(t *testing.T) {
		e := newEventFD(t, 3, 0)
		equal(t, "calls", calls(t, func() { e.ReadContext(done()); e.WriteContext(done(), 1) }), "")
	}},
	{"a deadline ends ReadContext", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		atLeast(t, 3*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Millisecond)
			defer cancel()
			_, err := e.ReadContext(ctx)
			equal(t, "ReadContext", err, context.DeadlineExceeded)
		})
	}},
	{"a deadline that passed", func(t *testing.T) {
		ctx, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
		defer cancel()
		_, err := newEventFD(t, 1, 0).ReadContext(ctx)
		equal(t, "ReadContext", err, context.DeadlineExceeded)
	}},
	{"cancel ends ReadContext in ctx.Err itself", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		got := readsContext(newEventFD(t, 0, 0), ctx)
		waitGoroutines(t, 1, "ReadContext", inPoller)
		cancel(os.ErrExist)
		equal(t, "ReadContext", wait(t, got, "no end").err, context.Canceled)
	}},
	{"a cancelled read takes nothing", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		ctx, cancel := context.WithCancel(context.Background())
		got := readsContext(e, ctx)
		waitGoroutines(t, 1, "ReadContext", inPoller)
		cancel()
		wait(t, got, "no end")
		check(t, e.Write(4))
		equal(t, "count", count(t, e), 4)
	}},
	{"a deadline does not stick to the handle", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, err := e.ReadContext(ctx)
		equal(t, "first", err, context.DeadlineExceeded)
		got := readsContext(e, context.Background())
		waitGoroutines(t, 1, "ReadContext", inPoller)
		check(t, e.Write(2))
		equal(t, "second", wait(t, got, "no read"), result{2, nil})
	}},
	{"cancelling one of many harms no other", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Semaphore)
		ctx, cancel := context.WithCancel(context.Background())
		cancelled := readsContext(e, ctx)
		waitGoroutines(t, 1, "ReadContext", inPoller)
		others := make(chan result, 4)
		for range cap(others) {
			go func() { v, err := e.ReadContext(context.Background()); others <- result{v, err} }()
		}
		waitGoroutines(t, 1+cap(others), "ReadContext", inPoller, "select", "chan send")
		cancel()
		equal(t, "cancelled", wait(t, cancelled, "no end").err, context.Canceled)
		check(t, e.Write(uint64(cap(others))))
		for range cap(others) {
			equal(t, "other", wait(t, others, "a reader was harmed"), result{1, nil})
		}
	}},
	{"a waiter that waits behind another can be cancelled", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		first := readsContext(e, context.Background())
		waitGoroutines(t, 1, "ReadContext", inPoller)
		ctx, cancel := context.WithCancel(context.Background())
		second := readsContext(e, ctx)
		waitGoroutines(t, 2, "ReadContext", inPoller, "select", "chan send")
		cancel()
		equal(t, "second", wait(t, second, "no end").err, context.Canceled)
		check(t, e.Write(1))
		equal(t, "first", wait(t, first, "no read"), result{1, nil})
	}},
	{"many waiters of a semaphore take one each", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Semaphore)
		got := make(chan result, 20)
		for range cap(got) {
			go func() { v, err := e.ReadContext(context.Background()); got <- result{v, err} }()
		}
		for range cap(got) {
			check(t, e.Write(1))
		}
		for range cap(got) {
			equal(t, "read", wait(t, got, "a reader was forgotten"), result{1, nil})
		}
		equal(t, "left", count(t, e), 0)
	}},
	{"random cancels lose no token", func(t *testing.T) {
		const tokens = 2000
		e := newEventFD(t, 0, efd.Semaphore)
		var mu sync.Mutex
		taken := uint64(0)
		var g sync.WaitGroup
		stop, cancelAll := context.WithCancel(context.Background())
		defer cancelAll()
		for i := range 4 {
			g.Go(func() {
				for n := i; stop.Err() == nil; n++ {
					ctx, cancel := context.WithTimeout(stop, time.Duration(n%50)*4*time.Microsecond)
					v, err := e.ReadContext(ctx)
					cancel()
					if err == nil {
						mu.Lock()
						if taken += v; taken == tokens {
							cancelAll()
						}
						mu.Unlock()
					} else if v != 0 {
						t.Errorf("%d and %v", v, err)
					}
				}
			})
		}
		for range tokens {
			check(t, e.Write(1))
		}
		wait(t, stop.Done(), "tokens were lost")
		g.Wait()
		equal(t, "left", count(t, e), 0)
	}},
	{"WriteContext into room", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		check(t, e.WriteContext(context.Background(), 5))
		readsOf(t, e, 6)
	}},
	{"WriteContext waits for room", func(t *testing.T) {
		e := full(t)
		got := writesContext(e, context.Background(), 5)
		waitGoroutines(t, 1, "WriteContext", inPoller)
		_, err := e.Read()
		check(t, err)
		check(t, wait(t, got, "no write"))
		readsOf(t, e, 5)
	}},
	{"WriteContext waits until all of it fits", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Semaphore)
		check(t, e.Write(efd.MaxCount-1))
		got := writesContext(e, context.Background(), 3)
		waitGoroutines(t, 1, "WriteContext", inPoller)
		for range 2 {
			_, err := e.Read()
			check(t, err)
		}
		check(t, wait(t, got, "no write"))
		equal(t, "count", count(t, e), efd.MaxCount)
	}},
	{"WriteContext ends by cancel and adds nothing", func(t *testing.T) {
		e := full(t)
		ctx, cancel := context.WithCancel(context.Background())
		got := writesContext(e, ctx, 5)
		waitGoroutines(t, 1, "WriteContext", inPoller)
		cancel()
		equal(t, "WriteContext", wait(t, got, "no end"), context.Canceled)
		readsOf(t, e, efd.MaxCount)
	}},
	{"WriteContext of 2^64-1 is EINVAL", func(t *testing.T) {
		wantErr(t, "WriteContext", newEventFD(t, 0, 0).WriteContext(context.Background(), math.MaxUint64), unix.EINVAL)
	}},
	{"WriteContext of 0", func(t *testing.T) { check(t, full(t).WriteContext(context.Background(), 0)) }},
	{"a Blocking handle refuses both", func(t *testing.T) {
		e := newEventFD(t, 1, efd.Blocking)
		_, err := e.ReadContext(context.Background())
		wantErr(t, "ReadContext", err, unix.EINVAL)
		wantErr(t, "WriteContext", e.WriteContext(context.Background(), 1), unix.EINVAL)
		equal(t, "count", count(t, e), 1)
	}},
	{"a reader and a writer wait at the same time", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, e.Write(efd.MaxCount))
		w := writesContext(e, context.Background(), 7)
		waitGoroutines(t, 1, "WriteContext", inPoller)
		v, err := e.ReadContext(context.Background())
		check(t, err)
		equal(t, "first", v, efd.MaxCount)
		check(t, wait(t, w, "no write"))
		v, err = e.ReadContext(context.Background())
		check(t, err)
		equal(t, "second", v, 7)
	}},
	{"Close ends a read in os.ErrClosed itself", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		got := readsContext(e, context.Background())
		waitGoroutines(t, 1, "ReadContext", inPoller)
		check(t, e.Close())
		equal(t, "ReadContext", wait(t, got, "no end").err, os.ErrClosed)
	}},
	{"Close ends a write", func(t *testing.T) {
		e := full(t)
		got := writesContext(e, context.Background(), 1)
		waitGoroutines(t, 1, "WriteContext", inPoller)
		check(t, e.Close())
		equal(t, "WriteContext", wait(t, got, "no end"), os.ErrClosed)
	}},
	{"Close ends all who wait", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ends := make(chan error, 10)
		for i := range cap(ends) {
			go func() {
				c := ctx
				if i%2 == 0 {
					c = context.Background()
				}
				_, err := e.ReadContext(c)
				ends <- err
			}()
		}
		waitGoroutines(t, cap(ends), "ReadContext", inPoller, "select", "chan send")
		check(t, e.Close())
		for range cap(ends) {
			equal(t, "ReadContext", wait(t, ends, "a waiter was forgotten"), os.ErrClosed)
		}
	}},
	{"waiting costs no thread", func(t *testing.T) {
		before := threads(t)
		const n = 100
		var handles []*efd.EventFD
		got := make(chan result, n)
		for range n {
			e := newEventFD(t, 0, 0)
			handles = append(handles, e)
			go func() { v, err := e.ReadContext(context.Background()); got <- result{v, err} }()
		}
		waitGoroutines(t, n, "ReadContext", inPoller)
		if more := threads(t) - before; more > 10 {
			t.Errorf("%d waiters have %d threads more", n, more)
		}
		for _, e := range handles {
			check(t, e.Signal())
		}
		for range n {
			equal(t, "read", wait(t, got, "a waiter was forgotten"), result{1, nil})
		}
	}},
	{"a plain handle is not in Go's poller", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		equal(t, "calls", calls(t, func() { e.Write(1); e.ReadContext(context.Background()) }), "write read")
	}},
	{"with a context that cannot end it allocates nothing", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		ctx := context.Background()
		got := readsContext(e, ctx) // registered from here on
		waitGoroutines(t, 1, "ReadContext", inPoller)
		e.Write(1)
		wait(t, got, "no read")
		noAllocs(t, func() { e.WriteContext(ctx, 1); e.ReadContext(ctx) })
	}},
	{"Read works beside a waiter", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Semaphore)
		got := readsContext(e, context.Background())
		waitGoroutines(t, 1, "ReadContext", inPoller)
		_, err := e.Read()
		wantErr(t, "Read", err, unix.EAGAIN)
		check(t, e.Write(2))
		wait(t, got, "no read")
		readsOf(t, e, 1)
	}},
	{"a context with a value and no end", func(t *testing.T) {
		type key struct{}
		v, err := newEventFD(t, 2, 0).ReadContext(context.WithValue(context.Background(), key{}, 1))
		check(t, err)
		equal(t, "count", v, 2)
	}},
	{"a dup wakes the waiter", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		d := dup(t, e)
		got := readsContext(e, context.Background())
		waitGoroutines(t, 1, "ReadContext", inPoller)
		check(t, d.Write(3))
		equal(t, "read", wait(t, got, "no read"), result{3, nil})
	}},
	{"both of two dups wait, one takes", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		ctx, cancel := context.WithCancel(context.Background())
		got := make(chan result, 2)
		for _, h := range []*efd.EventFD{e, dup(t, e)} {
			go func() { v, err := h.ReadContext(ctx); got <- result{v, err} }()
		}
		waitGoroutines(t, 2, "ReadContext", inPoller)
		check(t, e.Write(5))
		equal(t, "first", wait(t, got, "no read"), result{5, nil})
		cancel()
		if r := wait(t, got, "no end"); !errors.Is(r.err, context.Canceled) {
			t.Errorf("the other: %v", r)
		}
	}},
}

type result struct {
	v   uint64
	err error
}

func readsContext(e *efd.EventFD, ctx context.Context) <-chan result {
	c := make(chan result, 1)
	go func() { v, err := e.ReadContext(ctx); c <- result{v, err} }()
	return c
}

func writesContext(e *efd.EventFD, ctx context.Context, v uint64) <-chan error {
	c := make(chan error, 1)
	go func() { c <- e.WriteContext(ctx, v) }()
	return c
}

func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func threads(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/task")
	check(t, err)
	return len(list)
}
