//go:build linux

package efd_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// Each token is taken once, whatever is cancelled meanwhile.
func TestCancelHarmsNoOtherWaiter(t *testing.T) {
	tokens := 4000
	if testing.Short() {
		tokens = 1000
	}
	e := newEventFD(t, 0, efd.Semaphore)
	all, stop := context.WithCancel(context.Background())
	defer stop()
	var taken, cancelled atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				ctx, cancel := context.WithTimeout(all, rand.N(200*time.Microsecond))
				v, err := e.ReadContext(ctx)
				cancel()
				switch {
				case err == nil && v == 1:
					if taken.Add(1) == int64(tokens) {
						stop()
					}
				case all.Err() != nil:
					return
				case errors.Is(err, context.DeadlineExceeded):
					cancelled.Add(1)
				default:
					t.Errorf("ReadContext = %d, %v", v, err)
					return
				}
			}
		})
	}
	patient := make(chan error)
	go func() { // never cancelled, and so never to fail
		for all.Err() == nil {
			if _, err := e.ReadContext(context.Background()); err != nil {
				patient <- err
				return
			}
			if taken.Add(1) == int64(tokens) {
				stop()
			}
		}
		patient <- nil
	}()
	for range tokens {
		if err := e.Write(1); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	testenv.Within(t, "the waiters whose contexts end", wg.Wait)
	e.Write(1) // for the patient one, which may wait again
	if err := wait(t, patient, "the patient waiter did not end"); err != nil {
		t.Error(err)
	}
	if n := taken.Load(); n < int64(tokens) {
		t.Errorf("%d of %d tokens taken", n, tokens)
	}
	t.Logf("%d tokens, %d waits cancelled", tokens, cancelled.Load())
}

func TestDoneContextWins(t *testing.T) {
	e := newEventFD(t, 5, 0)
	p := newEpoll(t)
	if err := p.AddConn(e, efd.EPOLLIN|efd.EPOLLET, 0); err != nil {
		t.Fatal(err)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.ReadContext(done); err != context.Canceled {
		t.Errorf("ReadContext: %v", err)
	}
	if err := e.WriteContext(done, 1); err != context.Canceled {
		t.Errorf("WriteContext: %v", err)
	}
	if _, err := p.WaitContext(done, make([]efd.EpollEvent, 1)); err != context.Canceled {
		t.Errorf("WaitContext: %v", err)
	}
	if info, err := e.Info(); err != nil || info.Count != 5 {
		t.Errorf("Info = %+v, %v: a call that failed took something", info, err)
	}
	if n, err := p.Wait(make([]efd.EpollEvent, 1), 0, nil); n != 1 || err != nil {
		t.Errorf("Wait = %d, %v: a call that failed took the edge", n, err)
	}
}

// A waiter that queues behind another is cancelled as soon as that one.
func TestQueuedWaiterIsCancelled(t *testing.T) {
	e := newEventFD(t, 0, 0)
	first := make(chan error)
	go func() { _, err := e.ReadContext(context.Background()); first <- err }()
	waitFor(t, e.InPoller, "the first waiter does not wait")
	ctx, cancel := context.WithCancel(context.Background())
	second := make(chan error)
	go func() { _, err := e.ReadContext(ctx); second <- err }()
	cancel()
	if err := wait(t, second, "the cancelled read did not end"); err != context.Canceled {
		t.Errorf("the queued waiter: %v", err)
	}
	e.Signal()
	if err := wait(t, first, "the read did not end"); err != nil {
		t.Errorf("the waiter before it: %v", err)
	}
}

func TestWriteContextWaitsForRoom(t *testing.T) {
	e := newEventFD(t, 0, 0)
	e.Write(efd.MaxCount - 5)
	// POLLOUT says that 1 fits, and 10 do not.
	done := make(chan error)
	go func() { done <- e.WriteContext(context.Background(), 10) }()
	waitFor(t, e.InPoller, "WriteContext does not wait")
	if v, err := e.Read(); v != efd.MaxCount-5 || err != nil {
		t.Errorf("Read = %d, %v", v, err)
	}
	if err := wait(t, done, "the write did not end"); err != nil {
		t.Error(err)
	}
	if v, err := e.Read(); v != 10 || err != nil {
		t.Errorf("Read = %d, %v; want 10", v, err)
	}
}

// Plain use registers nothing with Go's poller, and neither does a
// ReadContext that need not wait.
func TestPollerIsForWaitersOnly(t *testing.T) {
	e := newEventFD(t, 1, 0)
	ctx := context.Background()
	e.Write(1)
	e.Signal()
	e.Read()
	e.Drain()
	e.WriteContext(ctx, 1)
	e.ReadContext(ctx)
	efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, 0, nil)
	newPollSet(t, efd.POLLIN, e).Wait(0, nil)
	if e.InPoller() {
		t.Error("it is in Go's poller")
	}
	b := newEventFD(t, 1, efd.Blocking)
	if _, err := b.ReadContext(ctx); !errors.Is(err, unix.EINVAL) {
		t.Errorf("ReadContext of a Blocking handle: %v, want EINVAL", err)
	}
	if err := b.WriteContext(ctx, 1); !errors.Is(err, unix.EINVAL) {
		t.Errorf("WriteContext of a Blocking handle: %v, want EINVAL", err)
	}
}

// Waiters in Go's poller hold no threads.
func TestContextWaitersHoldNoThreads(t *testing.T) {
	const n = 200
	before := threads(t)
	p := newEpoll(t)
	handles := make([]*efd.EventFD, n)
	for i := range handles {
		handles[i] = newEventFD(t, 0, 0)
	}
	ctx := context.Background()
	done := make(chan error, 2*n)
	for _, e := range handles {
		go func() { _, err := e.ReadContext(ctx); done <- err }()
		go func() { _, err := p.WaitContext(ctx, make([]efd.EpollEvent, 1)); done <- err }()
	}
	for _, e := range handles {
		waitFor(t, e.InPoller, "ReadContext does not wait")
	}
	if now := threads(t); now > before+n/4 {
		t.Errorf("%d waiters took the process from %d threads to %d", 2*n, before, now)
	}
	p.Close()
	for _, e := range handles {
		e.Close()
	}
	for range 2 * n {
		if err := wait(t, done, "a wait did not end at Close"); err != os.ErrClosed {
			t.Error(err)
		}
	}
}

// What the epoll in Go's poller reports is neither lost nor late.
func TestWaitContextLosesNothing(t *testing.T) {
	const events = 5000
	p := newEpoll(t)
	handles := make([]*efd.EventFD, 8)
	for i := range handles {
		handles[i] = newEventFD(t, 0, efd.Semaphore)
		if err := p.AddConn(handles[i], efd.EPOLLIN, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for i := range events {
			handles[i%len(handles)].Signal()
			if i%16 == 0 {
				runtime.Gosched()
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	buf := make([]efd.EpollEvent, 3) // too few: the rest has to be there next time
	for seen := 0; seen < events; {
		n, err := p.WaitContext(ctx, buf)
		if err != nil {
			t.Fatalf("after %d of %d events: %v", seen, events, err)
		}
		for _, ev := range buf[:n] {
			if _, err := handles[ev.Data()].Read(); err != nil {
				t.Fatal(err)
			}
			seen++
		}
	}
}

func TestErrorsNameTheCall(t *testing.T) {
	e := newEventFD(t, 0, 0)
	_, err := e.Read()
	var sys *os.SyscallError
	if !errors.As(err, &sys) || sys.Syscall != "read" || sys.Err != unix.EAGAIN {
		t.Errorf("Read: %#v", err)
	}
	if err := e.Write(1<<64 - 1); !strings.Contains(err.Error(), "2^64-1") || !strings.Contains(err.Error(), "EINVAL") {
		t.Errorf("Write: %q does not name the rule", err)
	}
}
