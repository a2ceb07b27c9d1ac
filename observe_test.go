//go:build linux

package efd_test

import (
	"errors"
	"os"
	"runtime"
	"slices"
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
	testenv.Within(t, "the waiters", wg.Wait)
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

// knownCalls skips what needs the calls by their kernel names.
func knownCalls(t testing.TB) {
	t.Helper()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the calls and the ways into the kernel that are known are those of amd64 and arm64")
	}
}

func TestObserve(t *testing.T) {
	knownCalls(t)
	var streamed, withID atomic.Int64
	o := startObserve(t, efd.OnWake(func(w efd.Wake) {
		streamed.Add(1)
		if strings.Contains(w.Object, "(id ") {
			withID.Add(1)
		}
	}))
	const rounds = 200
	a, b := observedFD(t), observedFD(t)
	tids := pingPong(t, rounds, a, b)
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if r2, err := o.Stop(); err != nil || r2.Total != r.Total {
		t.Errorf("a second Stop: %d wakes, %v", r2.Total, err)
	}
	ours, unseen := 0, 0
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
		if !w.Incomplete && (w.Waker.FD < 0 || w.Latency == 0 || w.Latency > 10*time.Second) {
			t.Errorf("fd %d, latency %v", w.Waker.FD, w.Latency)
		}
		if w.Latency < 0 {
			unseen++
		}
	}
	if unseen > ours/10 {
		t.Errorf("of %d wakes the running of %d was not seen", ours, unseen)
	}
	if ours == 0 {
		t.Errorf("no wake of %d was seen among %d", 2*rounds, r.Total)
	}
	for source, n := range r.LostBy {
		if source != "sched:sched_waking" { // the one source that the whole system feeds
			t.Errorf("%d records of %s were lost", n, source)
		}
	}
	// Nothing happens between the last wake and Stop, and they have their ids all the same.
	if int(withID.Load()) < ours {
		t.Errorf("of %d wakes %d name their eventfd", ours, withID.Load())
	}
	if int(streamed.Load()) != r.Total || len(r.Wakes) != min(r.Total, 4096) {
		t.Errorf("%d wakes streamed, %d in total, %d kept", streamed.Load(), r.Total, len(r.Wakes))
	}
}

func TestObserveWakesOnly(t *testing.T) {
	o := startObserve(t, efd.WakesOnly())
	a, b := observedFD(t), observedFD(t)
	tids := pingPong(t, 200, a, b)
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, w := range r.Wakes {
		if w.Callback != "pollwake" || w.Waker.Syscall != "write" {
			continue
		}
		ours++
		if w.Waker.TID+w.Wakee.TID != tids[0]+tids[1] || w.Wakee.PID != os.Getpid() || w.Waker.FD != -1 || w.Latency != -1 {
			t.Errorf("%+v: the threads are %v", w, tids)
		}
	}
	if ours == 0 && r.Lost == 0 {
		t.Errorf("no wake of ours among %d", r.Total)
	}
}

func TestObserveWatches(t *testing.T) {
	knownCalls(t)
	testenv.Exclusive(t, "watchpoints")
	o := startObserve(t, efd.WatchEventfds())
	a, b, c := observedFD(t), observedFD(t), observedFD(t)
	// Its watchpoint is there once a write to it is seen. What was done is
	// awaited before more is: on a slow processor the reader would never keep up.
	for deadline := time.Now().Add(20 * time.Second); o.Changes() < 50 && time.Now().Before(deadline); {
		before := o.Changes()
		pingPong(t, 3, a, b)
		for told := time.Now().Add(time.Second); o.Changes() == before && time.Now().Before(told); {
			time.Sleep(time.Millisecond)
		}
	}
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Changes) == 0 && len(r.Unobservable) > 0 {
		testenv.Require(t, "watch", errors.New(r.Unobservable[0]))
	}
	did := map[string]bool{}
	for _, ch := range r.Changes {
		if !strings.Contains(ch.Object, "(id ") || ch.By.PID != os.Getpid() {
			t.Errorf("%+v", ch)
		}
		did[ch.By.Syscall+" "+ch.What] = true
		for _, e := range ch.Path.Edges {
			if e.Verdict == efd.Contradicted || e.Verdict == efd.Undocumented {
				t.Errorf("%s -> %s %s: %s", e.Caller, e.Callee, e.Verdict, e.Evidence)
			}
		}
	}
	for _, want := range []string{"ppoll was put on the wait queue of", "ppoll was taken off the wait queue of", "write changed the counter of", "read changed the counter of"} {
		if !did[want] {
			t.Errorf("no %q among %v", want, did)
		}
	}
	further := func(s string) bool { return strings.Contains(s, "1 further eventfd:") }
	if !slices.ContainsFunc(r.Unobservable, further) || c.FD() < 0 {
		t.Errorf("Unobservable does not name the third eventfd: %v", r.Unobservable)
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

// edgeTo is the edge of a path to a function, the one that was seen first.
func edgeTo(p efd.Path, callee string) efd.Edge {
	var found efd.Edge
	for _, e := range p.Edges {
		if e.Callee == callee && (found.Callee == "" || e.Verdict == "seen") {
			found = e
		}
	}
	return found
}

// With functions traced, both calls of a wake have the steps that no call chain
// shows.
func TestObserveTracesFunctions(t *testing.T) {
	knownCalls(t)
	o := startObserve(t, efd.TraceFunctions())
	pingPong(t, 50, observedFD(t), observedFD(t))
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Unobservable) > 0 {
		if !strings.HasPrefix(r.Unobservable[0], "entries of functions: ") {
			t.Errorf("%q", r.Unobservable)
		}
		testenv.Require(t, "ftrace", errors.New(r.Unobservable[0]))
	}
	ours, whole, lost := 0, 0, r.LostBy["function_graph tracer"]+r.LostBy["function tracer"]
	for _, w := range r.Wakes {
		if w.Callback != "pollwake" || w.Waker.Syscall != "write" || w.Incomplete {
			continue
		}
		ours++
		free, wake := edgeTo(w.Sleep, "poll_freewait"), edgeTo(w.Path, "try_to_wake_up")
		for _, e := range []efd.Edge{free, wake} {
			switch e.Verdict {
			case "seen", "inconclusive", "not_observable", "":
			case "tail_call": // the tracer has no record of it: the chain alone tells
			default:
				t.Fatalf("%s -> %s: %s, %s", e.Caller, e.Callee, e.Verdict, e.Evidence)
			}
		}
		if free.Verdict == "seen" && strings.Contains(free.Evidence, "tracer") && wake.Verdict == "seen" {
			whole++
		}
	}
	// How many of the rounds find their waiter asleep is the scheduler's.
	t.Logf("%d wakes, %d of them ours, %d with the steps of both calls, %d records of the tracer lost", r.Total, ours, whole, lost)
	if whole == 0 || lost == 0 && whole < ours*9/10 {
		t.Errorf("%d wakes of %d have the steps of both calls, %d records of the tracer were lost", whole, ours, lost)
	}
}

func TestObserveTracesNoFunctionsOfWakesOnly(t *testing.T) {
	knownCalls(t)
	r, err := startObserve(t, efd.TraceFunctions(), efd.WakesOnly()).Stop()
	if err != nil || len(r.Unobservable) != 1 || !strings.Contains(r.Unobservable[0], "left out") {
		t.Errorf("%v, %q", err, r.Unobservable)
	}
}

// Each sleep is accounted for: by a wake, or as one that left no record, as
// those of CPUs of whose idle task the kernel keeps the records.
func TestObserveAccountsForSleeps(t *testing.T) {
	knownCalls(t)
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		t.Fatal(err)
	}
	for cpu := range 64 {
		if !cpus.IsSet(cpu) {
			continue
		}
		e := observedFD(t)
		o := startObserve(t)
		slept, tid := pollOn(t, cpu, e, 40)
		r, err := o.Stop()
		if err != nil {
			t.Fatal(err)
		}
		woken := 0
		for _, w := range r.Wakes {
			if w.Wakee.TID == tid && w.Wakee.Syscall == "ppoll" {
				woken++
			}
		}
		if r.Unwoken > r.Lost || r.Unwoken > 0 && !strings.Contains(strings.Join(r.Unobservable, " "), "left no record") {
			t.Errorf("CPU %d: %d sleeps without a wake, %d lost: %q", cpu, r.Unwoken, r.Lost, r.Unobservable)
		}
		other := 0 // voluntary switches that are no sleep in ppoll, which a slow processor has room for
		if testenv.Slow() {
			other = 1
		}
		if slept < 40 || woken+r.Unwoken < slept-other {
			t.Errorf("CPU %d: of %d sleeps %d were ended by a wake that was seen, %d by one that was not, and %d records were lost", cpu, slept, woken, r.Unwoken, r.Lost)
		}
	}
}

// pollOn has a thread on a CPU poll until a time-out, n times, and returns how
// often it slept.
func pollOn(t *testing.T, cpu int, e *efd.EventFD, n int) (slept, tid int) {
	t.Helper()
	done := make(chan error)
	go func() {
		// The thread ends with this goroutine, and its CPU mask with it.
		runtime.LockOSThread()
		var one unix.CPUSet
		one.Set(cpu)
		err := unix.SchedSetaffinity(0, &one)
		tid = unix.Gettid()
		fds := []unix.PollFd{{Fd: int32(e.FD()), Events: unix.POLLIN}}
		for range n {
			ts := unix.NsecToTimespec(int64(3 * time.Millisecond))
			if _, e := unix.Ppoll(fds, &ts, nil); e != nil && err == nil && e != unix.EINTR {
				err = e
			}
			slept++
		}
		done <- err
	}()
	if err := testenv.Receive(t, done, "the thread that polls"); err != nil {
		t.Fatal(err)
	}
	return slept, tid
}
