//go:build linux

package efd_test

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// sticky runs fn on a thread for which the kernel does not write back what is
// left of a time limit.
func sticky(t testing.TB, fn func()) *parked {
	t.Helper()
	const stickyTimeouts = 0x4000000
	refused := make(chan unix.Errno, 1)
	p := onThread(func() {
		old, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
		if errno == 0 {
			_, _, errno = unix.RawSyscall(unix.SYS_PERSONALITY, old|stickyTimeouts, 0, 0)
		}
		refused <- errno
		if errno != 0 {
			return
		}
		defer unix.RawSyscall(unix.SYS_PERSONALITY, old, 0, 0)
		fn()
	})
	if errno := wait(t, refused, "no call was refused"); errno != 0 {
		t.Skipf("personality(STICKY_TIMEOUTS): %v", errno)
	}
	return p
}

// stickyIsReal fails where the kernel writes back what is left: then the tests
// here show nothing.
func stickyIsReal(t testing.TB) {
	var in, out string
	sticky(t, func() {
		calls := traced(t, func() { efd.Poll(nil, time.Nanosecond, nil) })
		in, out = calls[0].Args[2].In, calls[0].Args[2].Out
	}).wait(t)
	if in != out {
		t.Fatalf("of %s the kernel left %s", in, out)
	}
}

// A wait goes by the clock where nobody says how much time is left.
func TestStickyTimeoutsEnd(t *testing.T) {
	stickyIsReal(t)
	for _, w := range waitsOn(t, newEventFD(t, 0, 0)) {
		t.Run(w.name, func(t *testing.T) {
			// A machine under load may not find the time to send a signal.
			for limit := 100 * time.Millisecond; signalsDuring(t, w, limit) == 0 && !t.Failed(); limit *= 2 {
			}
		})
	}
}

// signalsDuring has the wait w end at its limit, and returns how many signals
// interrupted it.
func signalsDuring(t *testing.T, w anyWait, limit time.Duration) (signals int) {
	start := time.Now()
	p := sticky(t, func() {
		n, err := w.do(limit, nil)
		if took := time.Since(start); n != 0 || err != nil || took < limit {
			t.Errorf("%d, %v after %v; want a time-out after %v", n, err, took, limit)
		}
	})
	for ; ; runtime.Gosched() {
		select {
		case <-p.done:
			return signals
		default:
		}
		if time.Since(start) > limit+20*time.Second {
			p.wait(t) // it ends once the signals do
			t.Fatal("each signal starts the time anew")
		}
		if asleep(p.tid, w.calls) {
			unix.Tgkill(os.Getpid(), p.tid, unix.SIGURG)
			signals++
		}
	}
}

// With a mask the time that is left is told, also where the kernel does not.
func TestStickyTimeoutsTellWhatIsLeft(t *testing.T) {
	stickyIsReal(t)
	notified(t, unix.SIGUSR1)
	for _, w := range waitsOn(t, newEventFD(t, 0, 0)) {
		t.Run(w.name, func(t *testing.T) {
			const limit, slept = time.Hour, 2 * time.Millisecond
			var err error
			p := sticky(t, func() { _, err = w.do(limit, new(efd.SigSet)) })
			waitAsleep(t, p.tid, w.calls)
			for start := time.Now(); time.Since(start) < slept; {
				runtime.Gosched()
			}
			check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
			p.wait(t)
			var i *efd.InterruptedError
			if !errors.As(err, &i) || i.Remaining > limit-slept || i.Remaining <= 0 {
				t.Errorf("%v; want at most %v to be left", err, limit-slept)
			}
		})
	}
}

// From the first signal on the wait goes by the clock, call after call.
func TestStickyTimeoutsGoByTheClock(t *testing.T) {
	stickyIsReal(t)
	e := newEventFD(t, 0, 0)
	for _, w := range waitsOn(t, e) {
		t.Run(w.name, func(t *testing.T) {
			const limit, slept, signals = time.Minute, 2 * time.Millisecond, 3
			var calls []*efd.Call
			var told atomic.Int32
			p := sticky(t, func() {
				tid := unix.Gettid()
				defer efd.AddTracer(func(c *efd.Call) {
					if c.TID == tid && c.Errno == unix.EINTR {
						told.Add(1)
					}
				})()
				calls = traced(t, func() { w.do(limit, nil) })
			})
			for n := range int32(signals) {
				waitAsleep(t, p.tid, w.calls)
				for start := time.Now(); time.Since(start) < slept; {
					runtime.Gosched()
				}
				check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGURG))
				waitFor(t, func() bool { return told.Load() > n }, "no interrupted call was told")
			}
			e.Signal()
			p.wait(t)
			e.Drain()
			if n := len(calls); n <= signals || calls[n-1].Ret != 1 {
				t.Fatalf("told %v, want interrupted calls and one that succeeds", texts(calls))
			}
			// The time before the first signal is not known, and a millisecond may be rounded up.
			last := limitOf(t, calls[len(calls)-1])
			if most := limit - (signals-1)*slept + time.Millisecond; last > most {
				t.Errorf("the last call waits for %v, want %v at most: %v", last, most, texts(calls))
			}
		})
	}
}

// limitOf is the time limit of a wait.
func limitOf(t testing.TB, c *efd.Call) time.Duration {
	t.Helper()
	for _, a := range c.Args {
		if ms, err := strconv.Atoi(a.In); err == nil && a.Name == "timeout" {
			return time.Duration(ms) * time.Millisecond
		}
		if strings.HasPrefix(a.In, "{tv_sec=") {
			return toldTime(t, a.In)
		}
	}
	t.Errorf("%v has no time limit", c)
	return 0
}
