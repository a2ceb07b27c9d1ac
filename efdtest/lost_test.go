//go:build linux

package efdtest_test

import (
	"strings"
	"testing"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/efdtest"
)

// A waiter that was woken alone and takes nothing leaves the others asleep on a
// counter above 0.
func TestLostWakeup(t *testing.T) {
	test := func(check bool) func(t testing.TB) {
		return func(t testing.TB) {
			k := efdtest.New(t)
			q := newQueue(t)
			jobs := k.Name(q, "jobs")
			var pool []*efdtest.Thread
			for _, name := range []string{"worker-1", "worker-2"} {
				p, err := efd.NewEpoll()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { p.Close() })
				if err := p.AddConn(q, efd.EPOLLIN|efd.EPOLLEXCLUSIVE, 0); err != nil {
					t.Fatal(err)
				}
				w := k.Go(name, func() { p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) })
				w.Asleep(jobs)
				pool = append(pool, w)
			}
			k.Do("Put", q.Put).WokeOneOf(1, pool...)
			if check {
				k.NoLostWakeup(jobs)
			}
		}
	}
	for _, evidence := range []string{"", "proc"} {
		t.Setenv("EFDTEST", evidence)
		for _, check := range []bool{true, false} { // at the end of the test too
			r := record(t, test(check))
			text := r.wantFailure(t, "worker-")
			if len(r.failures) != 1 || !strings.Contains(text, "sleeps in epoll_pwait on jobs (counter 1): a wake-up was lost") {
				t.Errorf("EFDTEST=%s, %v: %q", evidence, check, r.failures)
			}
		}
	}
}

// An edge that was taken is no lost wake-up, and neither is a counter that
// nobody waits for.
func TestNothingLost(t *testing.T) {
	r := record(t, func(t testing.TB) {
		k := efdtest.New(t)
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		p, err := efd.NewEpoll()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		if err := p.AddConn(q, efd.EPOLLIN|efd.EPOLLET, 0); err != nil {
			t.Fatal(err)
		}
		c := k.Go("consumer", func() {
			for range 2 {
				p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)
			}
		})
		c.Asleep(jobs)
		k.Do("Put", q.Put).Woke(c)
		c.Asleep(jobs)
		k.NoLostWakeup()
		c.SleptOn()
		q.Put()
		c.Done()
	})
	if r.failed || r.skipped {
		t.Errorf("%q %q", r.failures, r.logged)
	}
}

// Asleep says which call the thread is in instead, with its stack.
func TestNotAsleep(t *testing.T) {
	efdtest.Hasten(t)
	r := record(t, func(t testing.TB) {
		k := efdtest.New(t)
		q, other := newQueue(t), newQueue(t)
		jobs := k.Name(q, "jobs")
		k.Name(other, "rest")
		k.Go("consumer", other.Get).Asleep(jobs)
	})
	text := r.wantFailure(t, "consumer is not asleep on jobs: it sleeps in ppoll on rest (counter 0), goroutine ")
	if !strings.Contains(text, "efd.Poll  poll.go:") || !strings.Contains(text, "(*queue).Get  queue_test.go:") {
		t.Errorf("no stack in\n%s", text)
	}
	never := make(chan struct{})
	defer close(never)
	r = record(t, func(t testing.TB) {
		k := efdtest.New(t)
		k.Go("consumer", func() { <-never }).Asleep()
	})
	r.wantFailure(t, "consumer is not asleep: it is in futex, goroutine ")
}
