//go:build linux

package efdtest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// Act is a stretch of one thread's calls, with the wakes that they made.
type Act struct {
	k          *K
	name       string
	by         *Thread // nil: Do's own thread
	tid        int
	goid       int
	begin, end time.Duration             // 0: it goes on
	lost       int                       // records, before it
	delay      time.Duration             // of the thread's running, in it
	delays     map[*Thread]time.Duration // of the threads, before it

	named map[*Thread]bool    // by a Woke
	went  map[*Goroutine]bool // by a Woke
}

// Do calls fn on the goroutine's thread, which it is locked to until fn returns.
// Every call of efd's that fn makes is on record, and every wake by the thread.
func (k *K) Do(name string, fn func()) *Act {
	k.Helper()
	a := k.newAct(name)
	if problem := badCall(name, fn == nil); problem != "" {
		k.fatal("Do %q: %s", name, problem)
		return a
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a.tid = unix.Gettid()
	a.goid, _ = goroutine()
	a.during(fn)
	return a
}

// Await calls fn, which waits for wakes that are not made here, and has every
// wake by a thread, a process or the kernel on record until fn returns.
func (k *K) Await(by *Thread, fn func()) *Act {
	k.Helper()
	if by == nil || fn == nil {
		k.fatal("Await: by or fn is nil")
		return k.newAct("nobody")
	}
	a := k.newAct(by.name)
	a.by = by
	if by.kernel == nil {
		a.tid = by.tid
	}
	a.during(fn)
	return a
}

func (k *K) newAct(name string) *Act {
	return &Act{k: k, name: name, named: map[*Thread]bool{}, went: map[*Goroutine]bool{},
		delays: map[*Thread]time.Duration{}}
}

// during calls fn between the begin and the end of the act.
func (a *Act) during(fn func()) {
	k := a.k
	k.mu.Lock()
	threads := slices.Clone(k.threads)
	k.mu.Unlock()
	for _, th := range threads {
		a.delays[th] = runDelay(th.pid, th.tid)
	}
	if k.evidence == Kernel {
		a.lost = observed.tape.lostSoFar()
	}
	before := a.runDelay()
	k.mu.Lock()
	a.begin = mono()
	k.acts = append(k.acts, a)
	k.steps = append(k.steps, step{at: a.begin, act: a})
	k.mu.Unlock()
	defer func() {
		end, delay := mono(), a.runDelay()-before
		k.mu.Lock()
		defer k.mu.Unlock()
		a.end, a.delay = end, delay
	}()
	fn()
}

func (a *Act) runDelay() time.Duration {
	if a.tid == 0 {
		return 0
	}
	pid := os.Getpid()
	if a.by != nil {
		pid = a.by.pid
	}
	return runDelay(pid, a.tid)
}

// runDelay is how long a thread has waited for a processor so far.
func runDelay(pid, tid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, tid))
	if err != nil {
		return 0
	}
	var ran, waited int64
	if _, err := fmt.Sscan(string(b), &ran, &waited); err != nil {
		return 0
	}
	return time.Duration(waited)
}

// made reports whether a wake is the act's.
func (a *Act) made(w *efd.Wake) bool {
	if w.Time < a.begin || a.end != 0 && w.Time > a.end {
		return false
	}
	switch {
	case a.by == nil:
		return w.Waker.TID == a.tid && w.Waker.PID == os.Getpid()
	case a.by.kernel != nil:
		return a.by.kernel.made(w) && a.k.concerns(w)
	}
	return a.by.is(w.Waker.PID, w.Waker.TID, w.Time)
}

// concerns reports whether a wake is of a thread or an object of the test: the
// kernel's own wakers serve all tests.
func (k *K) concerns(w *efd.Wake) bool {
	if k.wakee(w) != nil {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.eventfd(w.EventFD) != nil
}

// wakes are those that the act made.
func (a *Act) wakes() (out []efd.Wake) {
	for _, w := range observed.between(a.begin, a.until()) {
		if a.made(&w) {
			out = append(out, w)
		}
	}
	return out
}

func (a *Act) until() time.Duration {
	if a.end == 0 {
		return mono()
	}
	return a.end
}

// calls are those that the act's thread made in it.
func (a *Act) calls() (out []*call) {
	a.k.mu.Lock()
	defer a.k.mu.Unlock()
	for _, c := range a.k.calls {
		if a.has(c) {
			out = append(out, c)
		}
	}
	return out
}

// has reports whether a call is the act's. k.mu is held.
func (a *Act) has(c *call) bool {
	if a.by != nil || c.TID != a.tid {
		return false
	}
	return c.end() >= a.begin && (a.end == 0 || c.Mono <= a.end)
}

// callAt is the call of a thread at a time, nil if it was in none of efd's.
func (k *K) callAt(tid int, at time.Duration) *call {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range slices.Backward(k.calls) {
		if c.TID == tid && c.Mono <= at && at <= c.end() {
			return c
		}
	}
	return nil
}

// entered is when the call began in which a wake was made: by efd's tracer, by
// the kernel's record, or at the latest with the act.
func (a *Act) entered(w *efd.Wake) (at time.Duration, call bool) {
	if c := a.k.callAt(w.Waker.TID, w.Time); c != nil {
		return c.Mono, true
	}
	if at, ok := observed.tape.entered(w.Waker.TID, w.Time); ok && at >= a.begin {
		return at, true
	}
	return a.begin, false
}

// wakee returns the thread that a wake is of, nil if it is none of the test's.
func (k *K) wakee(w *efd.Wake) *Thread {
	return k.threadOf(w.Wakee.PID, w.Wakee.TID, w.Time)
}

// threadOf returns the thread with the numbers at a time.
func (k *K) threadOf(pid, tid int, at time.Duration) *Thread {
	k.mu.Lock()
	threads := slices.Clone(k.threads)
	k.mu.Unlock()
	for _, th := range threads {
		if th.is(pid, tid, at) {
			return th
		}
	}
	return nil
}

// wakesOf are the wakes of a thread in a stretch of time, by anybody.
func (k *K) wakesOf(th *Thread, begin, end time.Duration) (out []efd.Wake) {
	if k.evidence != Kernel {
		return nil
	}
	for _, w := range observed.between(begin, end) {
		if th.is(w.Wakee.PID, w.Wakee.TID, w.Time) {
			out = append(out, w)
		}
	}
	return out
}
