//go:build linux

package efd_test

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// A wait that sleeps, the first one too, makes one call, registers nothing and
// opens nothing. A tracer sees the calls of all threads.
func TestSleepingWaitLeavesNothing(t *testing.T) {
	p := newEpoll(t)
	fdinfo := "/proc/self/fdinfo/" + strconv.Itoa(p.FD())
	files := fdCount(t)
	var mu sync.Mutex
	var calls []string
	remove := efd.AddTracer(func(c *efd.Call) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, c.Syscall)
	})
	n, err := p.Wait(make([]efd.EpollEvent, 1), time.Millisecond, nil)
	remove()
	if n != 0 || err != nil {
		t.Errorf("Wait = %d, %v; want a time-out", n, err)
	}
	other := func(call string) bool { return call != "epoll_pwait" } // which a signal has repeated
	if len(calls) == 0 || slices.ContainsFunc(calls, other) {
		t.Errorf("the calls are %q, want epoll_pwait alone", calls)
	}
	look := func(when string) {
		text, err := os.ReadFile(fdinfo)
		check(t, err)
		if strings.Contains(string(text), "tfd:") {
			t.Errorf("%s, registered is %s", when, text)
		}
		equal(t, when+", descriptors", fdCount(t), files)
	}
	look("after a wait")
	s := sleepOn(t, p, efd.Forever)
	look("during a wait")
	check(t, p.Wake())
	s.ends(t, efd.ErrWoken)
	look("after Wake")
}

// The epoll's number is the lowest that is free, though the first NewEpoll makes an
// eventfd too.
func TestNewEpollTakesTheLowestNumber(t *testing.T) {
	efd.AlwaysReady()
	want := freeNumber(t)
	p := newEpoll(t)
	equal(t, "FD", p.FD(), want)
	equal(t, "calls", calls(t, func() { must(efd.NewEpoll()).Close() }), "epoll_create1 close")
}

// A Close that comes while Wait begins ends it, whichever is first.
func TestCloseMeetsABeginningWait(t *testing.T) {
	for i := range 3000 {
		p, err := efd.NewEpoll()
		check(t, err)
		ended := make(chan error, 2)
		for range 2 {
			go func() { ended <- second(p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil)) }()
		}
		for range i % 8 {
			runtime.Gosched()
		}
		check(t, p.Close())
		for range 2 {
			equal(t, "Wait", wait(t, ended, "the wait sleeps on"), os.ErrClosed)
		}
	}
}

// If the kernel refuses the entry that ends waits, as it does without a watch to
// spare, signals end those that signals can end, and the others end once the
// kernel takes it. Here it refuses a second entry of the same.
func TestWaitsEndWithoutAnEntry(t *testing.T) {
	for name, end := range map[string]func(*efd.Epoll) error{"Wake": (*efd.Epoll).Wake, "Close": (*efd.Epoll).Close} {
		want := map[string]error{"Wake": efd.ErrWoken, "Close": os.ErrClosed}[name]
		t.Run(name, func(t *testing.T) {
			p := newEpoll(t)
			fd := own2(t)(unix.FcntlInt(uintptr(p.FD()), unix.F_DUPFD_CLOEXEC, 0)).fd
			check(t, unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, efd.AlwaysReady(), &unix.EpollEvent{}))
			s := sleepOn(t, p, efd.Forever)
			check(t, end(p))
			s.ends(t, want)
			if want == os.ErrClosed {
				return
			}
			masked := new(sleeper)
			masked.parked = park(t, callEpoll, func() {
				masked.n, masked.err = p.Wait(make([]efd.EpollEvent, 1), efd.Forever, new(efd.SigSet))
			})
			check(t, end(p))
			waitAsleep(t, masked.tid, callEpoll)
			masked.running(t)
			check(t, unix.EpollCtl(fd, unix.EPOLL_CTL_DEL, efd.AlwaysReady(), nil))
			masked.ends(t, want)
			equal(t, "the epoll itself", pollOne(t, p.FD(), efd.POLLIN), 0)
			s = sleepOn(t, p, efd.Forever)
			check(t, end(p))
			s.ends(t, want)
		})
	}
}
