package efd_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// startObserve starts an observation, or ends the test with what is missing.
func startObserve(t *testing.T, opts ...efd.ObserveOption) *efd.Observation {
	t.Helper()
	o, err := efd.Observe(opts...)
	var a *ktrace.AccessError
	if errors.As(err, &a) {
		testenv.Require(t, a.Tier, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// pingPong has two threads wake each other n times through two eventfds.
func pingPong(t *testing.T, n int, a, b *efd.EventFD) (tids [2]int) {
	t.Helper()
	var wg sync.WaitGroup
	side := func(i int, in, out *efd.EventFD, first bool) {
		defer wg.Done()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tids[i] = unix.Gettid()
		fds := []efd.PollFD{{FD: int32(in.FD()), Events: efd.POLLIN}}
		for k := range n {
			if first || k > 0 {
				if err := out.Write(1); err != nil {
					t.Error(err)
				}
			}
			if _, err := efd.Poll(fds, efd.Forever, nil); err != nil {
				t.Error(err)
			}
			if _, err := in.Read(); err != nil {
				t.Error(err)
			}
		}
		if !first {
			out.Write(1)
		}
	}
	wg.Add(2)
	go side(0, a, b, true)
	go side(1, b, a, false)
	wg.Wait()
	return tids
}

func observedFD(t *testing.T) *efd.EventFD {
	t.Helper()
	e, err := efd.New(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestObserve(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the calls and the ways into the kernel that are known are those of amd64 and arm64")
	}
	var streamed atomic.Int64
	var withID atomic.Bool
	o := startObserve(t, efd.OnWake(func(w efd.Wake) {
		streamed.Add(1)
		if strings.Contains(w.Object, "(id ") {
			withID.Store(true)
		}
	}))
	const rounds = 200
	a, b := observedFD(t), observedFD(t)
	tids := pingPong(t, rounds, a, b)
	// An id is told once nothing can have closed the number meanwhile.
	for deadline := time.Now().Add(10 * time.Second); !withID.Load() && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if r2, err := o.Stop(); err != nil || r2.Total != r.Total {
		t.Errorf("a second Stop: %d wakes, %v", r2.Total, err)
	}
	ours := 0
	for _, w := range r.Wakes {
		if w.Callback != "pollwake" || w.Wakee.Syscall != "ppoll" || w.Waker.Syscall != "write" {
			continue
		}
		ours++
		if w.Waker.TID+w.Wakee.TID != tids[0]+tids[1] || w.Waker.PID != os.Getpid() || w.Waker.Context != "task" {
			t.Errorf("waker %+v, wakee %+v, threads %v", w.Waker, w.Wakee, tids)
		}
		if w.Path.Name != "eventfd_write" || len(w.Path.Edges) < 8 {
			t.Errorf("path %s with %d edges", w.Path.Name, len(w.Path.Edges))
		}
		for _, e := range append(w.Path.Edges, w.Sleep.Edges...) {
			if e.Verdict == efd.Contradicted || e.Verdict == efd.Undocumented {
				t.Errorf("%s -> %s %s: %s", e.Caller, e.Callee, e.Verdict, e.Evidence)
			}
		}
		if !w.Incomplete && (w.Waker.FD < 0 || w.Latency <= 0 || w.Latency > 10*time.Second) {
			t.Errorf("fd %d, latency %v", w.Waker.FD, w.Latency)
		}
	}
	if r.Lost == 0 && ours == 0 {
		t.Errorf("no wake of %d was seen among %d", 2*rounds, r.Total)
	}
	if r.Lost == 0 && !withID.Load() {
		t.Errorf("of %d wakes none names its eventfd", ours)
	}
	if int(streamed.Load()) != r.Total || len(r.Wakes) != min(r.Total, 4096) {
		t.Errorf("%d wakes streamed, %d in total, %d kept", streamed.Load(), r.Total, len(r.Wakes))
	}
}

func TestObserveLeavesNothing(t *testing.T) {
	startObserve(t).Stop() // what exists once in a process exists now
	a, b := observedFD(t), observedFD(t)
	before := fdCount(t)
	for range 3 {
		o := startObserve(t, efd.WakesOnly())
		pingPong(t, 3, a, b)
		if _, err := o.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if after := fdCount(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func fdCount(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}
