//go:build linux

// Package asleep waits for threads to fall asleep: whoever tests or shows a
// wake-up has to know that there is somebody to wake.
package asleep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// State is the state of a thread in /proc.
type State struct {
	Letter byte   // of stat: R, S, D, …; 0 once the thread is gone
	Nr     int    // the system call that it is blocked in, -1 while it runs
	where  string // the kernel function that it sleeps in, where the numbers are another machine's
}

// Of reads a thread's state. The kernel names the system call only of a thread
// that is off its queue, so that Nr >= 0 means that it sleeps, and not that it
// is about to.
func Of(pid, tid int) (State, error) {
	s := State{Nr: -1}
	dir := "/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid)
	call, err := os.ReadFile(dir + "/syscall")
	if err != nil {
		return s, err
	}
	if Foreign() {
		where, err := os.ReadFile(dir + "/wchan")
		if err != nil {
			return s, err
		}
		s.where = string(where)
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return s, err
	}
	// The name in brackets may hold anything, a bracket too.
	if i := strings.LastIndexByte(string(stat), ')'); i >= 0 && i+2 < len(stat) {
		s.Letter = stat[i+2]
	}
	word, _, _ := strings.Cut(strings.TrimSpace(string(call)), " ")
	if n, err := strconv.Atoi(word); err == nil {
		s.Nr = n
	}
	return s, nil
}

// In reports whether the state is sleep in one of the system calls: several
// if a call has variants. Go's own futex is sleep too, and is none of them.
func (s State) In(nr ...int) bool {
	if Foreign() { // any sleep but a futex has to do
		return s.Letter == 'S' && len(s.where) > 1 && !strings.HasPrefix(s.where, "futex")
	}
	return s.Letter == 'S' && slices.Contains(nr, s.Nr)
}

// Sleeps reports whether a thread sleeps in one of the system calls, and the
// state that was read. Call and letter are read one after the other, and a
// thread that waits for memory in one sleep may be in another sleep by then: it
// has to be the same sleep before, between and after.
func Sleeps(pid, tid int, nr ...int) (State, bool, error) {
	s, err := Of(pid, tid)
	if err != nil || !s.In(nr...) {
		return s, false, err
	}
	if Foreign() {
		return s, true, nil
	}
	before, err := Switches(pid, tid)
	if err != nil {
		return s, false, err
	}
	for range 2 {
		if s, err = Of(pid, tid); err != nil || !s.In(nr...) {
			return s, false, err
		}
	}
	after, err := Switches(pid, tid)
	return s, err == nil && after == before, err
}

// Switches is how often a thread gave up the CPU of its own will.
func Switches(pid, tid int) (int, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
			return strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return 0, fmt.Errorf("/proc/%d/task/%d/status has no voluntary_ctxt_switches", pid, tid)
}

// Foreign reports whether the processor is emulated by a program: /proc then
// has the numbers of the host, among them that of the read that asks.
var Foreign = sync.OnceValue(func() bool {
	runtime.LockOSThread() // the file shows the thread that opened it
	defer runtime.UnlockOSThread()
	b, err := os.ReadFile("/proc/thread-self/syscall")
	word, _, _ := strings.Cut(string(b), " ")
	n, errNr := strconv.Atoi(word)
	return err == nil && errNr == nil && n != syscall.SYS_READ
})

// ReturnedError reports that a call which was to sleep has returned.
type ReturnedError struct{ Err error } // of the call, nil if it succeeded

// Error implements error.
func (r *ReturnedError) Error() string {
	if r.Err != nil {
		return "its call has returned: " + r.Err.Error()
	}
	return "its call has returned"
}

// Unwrap is the error of the call.
func (r *ReturnedError) Unwrap() error { return r.Err }

// UntilReturn is a context for Await that ends when returned is called, with
// the error of the call that was to sleep.
func UntilReturn(ctx context.Context) (until context.Context, returned func(error)) {
	until, end := context.WithCancelCause(ctx)
	return until, func(err error) { end(&ReturnedError{err}) }
}

// Await returns once the thread sleeps in one of the system calls.
func Await(ctx context.Context, pid, tid int, nr ...int) error {
	for i := 0; ; i++ {
		s, sleeps, err := Sleeps(pid, tid, nr...)
		switch {
		case err != nil:
			if r, ok := errors.AsType[*ReturnedError](context.Cause(ctx)); ok { // and its thread has ended since
				err = r
			}
			if _, none := os.Stat("/proc/" + strconv.Itoa(os.Getpid()) + "/task"); none != nil {
				err = fmt.Errorf("%w: /proc is not mounted, or is that of another PID namespace", err)
			}
			return fmt.Errorf("state of thread %d: %w", tid, err)
		case sleeps:
			return nil
		case s.Letter == 'Z' || s.Letter == 'X':
			return fmt.Errorf("thread %d did not fall asleep in system call %v: it has ended", tid, nr)
		case ctx.Err() != nil:
			return fmt.Errorf("thread %d did not fall asleep in system call %v: state %c in system call %d: %w", tid, nr, s.Letter, s.Nr, context.Cause(ctx))
		}
		// The condition is the state. The interval of the checks only delays
		// its detection.
		if i < 20 {
			runtime.Gosched()
		} else {
			time.Sleep(50 * time.Microsecond)
		}
	}
}

// Patience is a timeout scaled to the load of this machine: d if reading a
// thread's state takes as long as on an idle processor, and up to 20 times that
// if the processor is emulated or busy.
func Patience(d time.Duration) time.Duration {
	const looks, usual = 20, time.Millisecond
	start := time.Now()
	for range looks {
		if _, err := Of(os.Getpid(), os.Getpid()); err != nil {
			return d
		}
	}
	return time.Duration(float64(d) * min(max(float64(time.Since(start))/float64(usual), 1), 20))
}
