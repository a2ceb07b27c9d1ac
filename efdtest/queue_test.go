//go:build linux

package efdtest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/efdtest"
)

// queue is the code under test: a queue of jobs that an eventfd counts.
type queue struct {
	*efd.EventFD
	n atomic.Int64
}

func newQueue(t testing.TB) *queue {
	t.Helper()
	e, err := efd.New(0, efd.Semaphore)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return &queue{EventFD: e}
}

func (q *queue) Put() {
	q.n.Add(1)
	q.Signal()
}

func (q *queue) Get() {
	efd.Poll([]efd.PollFD{{FD: int32(q.FD()), Events: efd.POLLIN}}, efd.Forever, nil)
	q.Read()
}

func (q *queue) GetContext(ctx context.Context) error {
	_, err := q.ReadContext(ctx)
	return err
}

// This write woke that waiter, through that callback, in time, and nobody else.
func TestPutWakesTheConsumer(t *testing.T) {
	t.Parallel()
	efdtest.Run(t, func(k *efdtest.K) {
		q, other := newQueue(t), newQueue(t)
		jobs, rest := k.Name(q, "jobs"), k.Name(other, "rest")
		c, idle := k.Go("consumer", q.Get), k.Go("idle", other.Get)
		c.Asleep(jobs)
		idle.Asleep(rest)

		put := k.Do("Put", q.Put)

		put.Woke(c, efdtest.OutOf("ppoll"), efdtest.Through("pollwake"), efdtest.On(jobs))
		put.WokeNobodyElse()
		idle.SleptOn()
		c.Done()
		other.Put()
		idle.Done()
	})
}

// A pool of workers is no herd: one job wakes one worker. The golden file
// documents the protocol.
func TestPoolWakesOne(t *testing.T) {
	efdtest.Run(t, func(k *efdtest.K) {
		k.NeedKernel()
		q := newQueue(t)
		jobs := k.Name(q, "jobs")
		pool := startPool(k, q, efd.EPOLLIN|efd.EPOLLEXCLUSIVE)
		for _, w := range pool {
			w.Asleep(jobs)
		}
		for range pool {
			put := k.Do("Put", q.Put)
			put.WokeOneOf(1, pool...)
			put.WokeNobodyElse()
		}
		k.Golden("pool")
	})
}

// startPool starts three workers, each with an epoll of its own.
func startPool(k *efdtest.K, q *queue, events efd.EpollEvents) (pool []*efdtest.Thread) {
	k.Helper()
	for _, name := range []string{"worker-1", "worker-2", "worker-3"} {
		p, err := efd.NewEpoll()
		if err != nil {
			k.Fatal(err)
		}
		k.Cleanup(func() { p.Close() })
		if err := p.AddConn(q, events, 0); err != nil {
			k.Fatal(err)
		}
		pool = append(pool, k.Go(name, func() {
			p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)
			q.Read()
		}))
	}
	return pool
}

// Goroutines sleep in Go's poller: a thousand signals, and none is lost.
func TestGoroutineTakesAll(t *testing.T) {
	k := efdtest.New(t)
	q := newQueue(t)
	jobs := k.Name(q, "jobs")
	var got atomic.Int64
	g := k.GoContext("getter", func(ctx context.Context) {
		for got.Load() < 1000 {
			if q.GetContext(ctx) != nil {
				return
			}
			got.Add(1)
		}
	})
	k.Do("Put", func() {
		for range 1000 {
			q.Put()
		}
	}).Woke(g)
	g.Done()
	if got.Load() != 1000 {
		t.Errorf("took %d of 1000", got.Load())
	}
	k.NoLostWakeup(jobs)
}
