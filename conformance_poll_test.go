//go:build linux

package efd_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

const inOut = efd.POLLIN | efd.POLLOUT

var pollCases = []conformanceCase{
	{"nothing, no time", func(t *testing.T) { polls(t, nil, 0, 0) }},
	{"nothing, some time", func(t *testing.T) { atLeast(t, 2*time.Millisecond, func() { polls(t, nil, 2*time.Millisecond, 0) }) }},
	{"one nanosecond", func(t *testing.T) { polls(t, nil, 1, 0) }},
	{"timeouts are not cut short", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		for _, d := range []time.Duration{50 * time.Microsecond, 999 * time.Microsecond, 1500001, 5 * time.Millisecond} {
			atLeast(t, d, func() { polls(t, []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, d, 0) })
		}
	}},
	{"a timeout goes into the call to the nanosecond", func(t *testing.T) {
		c := traced(t, func() { polls(t, nil, 1500001, 0) })
		equal(t, "timeout", c[0].Args[2].In, "{tv_sec=0, tv_nsec=1500001}")
	}},
	{"timeout 0 does not sleep", func(t *testing.T) {
		c := traced(t, func() { polls(t, nil, 0, 0) })
		equal(t, "timeout", c[0].Args[2].In, "{tv_sec=0, tv_nsec=0}")
	}},
	{"a negative timeout has no end", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		p := park(t, callPpoll, func() { efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, -5*time.Second, nil) })
		check(t, e.Signal())
		p.wait(t)
		c := traced(t, func() { efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, efd.Forever, nil) })
		equal(t, "timeout", c[0].Args[2].In, "NULL")
	}},
	{"a timeout of 100 days", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		p := park(t, callPpoll, func() {
			polls(t, []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, 100*24*time.Hour, 1)
		})
		check(t, e.Signal())
		p.wait(t)
	}},
	{"the longest timeout", func(t *testing.T) {
		polls(t, []efd.PollFD{{FD: int32(newEventFD(t, 1, 0).FD()), Events: efd.POLLIN}}, 1<<63-1, 1)
	}},
	{"a ready one is reported at once", func(t *testing.T) {
		fds := []efd.PollFD{{FD: int32(newEventFD(t, 1, 0).FD()), Events: inOut}}
		polls(t, fds, efd.Forever, 1)
		equal(t, "events", fds[0].Revents, inOut)
	}},
	{"a write wakes the sleeper", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
		p := park(t, callPpoll, func() { polls(t, fds, efd.Forever, 1) })
		check(t, e.Write(1))
		p.wait(t)
		equal(t, "events", fds[0].Revents, efd.POLLIN)
	}},
	{"a read wakes who waits for room", func(t *testing.T) {
		e := full(t)
		fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLOUT}}
		p := park(t, callPpoll, func() { polls(t, fds, efd.Forever, 1) })
		_, err := e.Read()
		check(t, err)
		p.wait(t)
		equal(t, "events", fds[0].Revents, efd.POLLOUT)
	}},
	{"a write wakes every sleeper", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		var all []*parked
		for range 5 {
			all = append(all, park(t, callPpoll, func() { polls(t, []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, efd.Forever, 1) }))
		}
		check(t, e.Write(1))
		for _, p := range all {
			p.wait(t)
		}
	}},
	{"what is not asked for is not reported", func(t *testing.T) {
		equal(t, "events", pollOne(t, newEventFD(t, 1, 0).FD(), efd.POLLPRI), 0)
	}},
	{"a negative number is skipped, and its answer cleared", func(t *testing.T) {
		fds := []efd.PollFD{{FD: -1, Events: efd.POLLIN, Revents: 0x7f}, {FD: -99, Events: inOut, Revents: 1}}
		polls(t, fds, time.Microsecond, 0)
		equal(t, "first", fds[0], efd.PollFD{FD: -1, Events: efd.POLLIN})
		equal(t, "second", fds[1], efd.PollFD{FD: -99, Events: inOut})
	}},
	{"a closed number is POLLNVAL, and counts", func(t *testing.T) {
		fds := []efd.PollFD{{FD: int32(freeNumber(t)), Events: efd.POLLIN}}
		polls(t, fds, efd.Forever, 1)
		equal(t, "events", fds[0].Revents, efd.POLLNVAL)
	}},
	{"a number far above the table is POLLNVAL", func(t *testing.T) { equal(t, "events", pollOne(t, 1<<30, efd.POLLIN), efd.POLLNVAL) }},
	{"POLLNVAL beside a ready one", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		fds := []efd.PollFD{{FD: int32(freeNumber(t))}, {FD: int32(e.FD()), Events: efd.POLLIN}, {FD: -1}}
		polls(t, fds, efd.Forever, 2)
	}},
	{"events 0 still tells errors", func(t *testing.T) {
		r, w := pipe(t)
		w.close()
		equal(t, "events", pollOne(t, r.fd, 0), efd.POLLHUP)
	}},
	{"the answer is written anew", func(t *testing.T) {
		fds := []efd.PollFD{{FD: int32(newEventFD(t, 0, 0).FD()), Events: efd.POLLIN, Revents: 0x7fff}}
		polls(t, fds, 0, 0)
		equal(t, "events", fds[0].Revents, 0)
	}},
	{"what was asked for stays, unknown bits too", func(t *testing.T) {
		fds := []efd.PollFD{{FD: int32(newEventFD(t, 1, 0).FD()), Events: efd.POLLIN | 0x4000}}
		polls(t, fds, 0, 1)
		equal(t, "Events", fds[0].Events, efd.POLLIN|0x4000)
		equal(t, "Revents", fds[0].Revents, efd.POLLIN)
	}},
	{"one number twice is reported twice", func(t *testing.T) {
		fd := int32(newEventFD(t, 1, 0).FD())
		polls(t, []efd.PollFD{{FD: fd, Events: efd.POLLIN}, {FD: fd, Events: efd.POLLOUT}, {FD: fd, Events: efd.POLLPRI}}, 0, 2)
	}},
	{"a thousand members", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		fds := make([]efd.PollFD, 1000)
		for i := range fds {
			fds[i] = efd.PollFD{FD: int32(e.FD()), Events: efd.POLLIN}
		}
		polls(t, fds, 0, 0)
		check(t, e.Signal())
		polls(t, fds, efd.Forever, len(fds))
	}},
	{"more members than the table may hold is EINVAL", func(t *testing.T) {
		var lim unix.Rlimit
		check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
		if lim.Cur > 1<<21 {
			t.Skipf("RLIMIT_NOFILE is %d", lim.Cur)
		}
		_, err := efd.Poll(make([]efd.PollFD, lim.Cur+1), 0, nil)
		wantErr(t, "Poll", err, unix.EINVAL)
		var sys *os.SyscallError
		if !errors.As(err, &sys) {
			t.Errorf("%#v is no *os.SyscallError", err)
		}
	}},
	{"a signal is no end without a mask, and the time goes on", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		e := newEventFD(t, 0, 0)
		p := park(t, callPpoll, func() { polls(t, []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, time.Minute, 1) })
		for range 3 {
			check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
			wait(t, c, "no signal")
			waitAsleep(t, p.tid, callPpoll)
		}
		p.running(t)
		check(t, e.Signal())
		p.wait(t)
	}},
	{"signals do not lengthen a timeout", func(t *testing.T) {
		testenv.RealSpeed(t)
		notified(t, unix.SIGUSR1)
		start := time.Now()
		p := onThread(func() { polls(t, nil, 20*time.Millisecond, 0) })
		for over := false; !over; {
			unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1)
			select {
			case <-p.done:
				over = true
			case <-time.After(time.Millisecond):
			}
			if time.Since(start) > 20*time.Second {
				t.Fatal("still waiting")
			}
		}
		if took := time.Since(start); took < 20*time.Millisecond {
			t.Errorf("took %v", took)
		}
	}},
	{"with a mask a signal ends the wait, and the rest of the time is told", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		var err error
		p := park(t, callPpoll, func() { _, err = efd.Poll(nil, time.Hour, new(efd.SigSet)) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		p.wait(t)
		wait(t, c, "no signal")
		interrupted(t, err, "ppoll", time.Hour)
	}},
	{"an endless wait that is interrupted had Forever left", func(t *testing.T) {
		notified(t, unix.SIGUSR1)
		var err error
		p := park(t, callPpoll, func() { _, err = efd.Poll(nil, efd.Forever, new(efd.SigSet)) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		p.wait(t)
		interrupted(t, err, "ppoll", efd.Forever)
	}},
	{"a signal that the mask blocks waits until the wait is over", func(t *testing.T) {
		native(t, "deliver a signal that the mask of a wait held back")
		c := notified(t, unix.SIGUSR1)
		mask, err := efd.NewSigSet(unix.SIGUSR1)
		check(t, err)
		e := newEventFD(t, 0, 0)
		p := park(t, callPpoll, func() { polls2(t, []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, efd.Forever, &mask, 1) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		waitFor(t, func() bool { return pending(p.tid, unix.SIGUSR1) }, "the signal is not pending")
		p.running(t)
		check(t, e.Signal())
		p.wait(t)
		wait(t, c, "the signal was lost")
	}},
	{"a pending signal that the mask lets through ends the wait at once", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		usr1, err := efd.NewSigSet(unix.SIGUSR1)
		check(t, err)
		check(t, efd.WithSigMask(usr1, func() error {
			check(t, unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1))
			_, err := efd.Poll(nil, time.Hour, new(efd.SigSet))
			interrupted(t, err, "ppoll", time.Hour)
			return nil
		}))
		wait(t, c, "no signal")
	}},
	{"readiness goes before a signal that is pending", func(t *testing.T) {
		notified(t, unix.SIGUSR1)
		usr1, err := efd.NewSigSet(unix.SIGUSR1)
		check(t, err)
		e := newEventFD(t, 1, 0)
		check(t, efd.WithSigMask(usr1, func() error {
			check(t, unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1))
			polls2(t, []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, time.Hour, new(efd.SigSet), 1)
			return nil
		}))
	}},
	{"the thread's own mask is back after the wait", func(t *testing.T) {
		usr2, err := efd.NewSigSet(unix.SIGUSR2)
		check(t, err)
		check(t, efd.WithSigMask(usr2, func() error {
			polls2(t, nil, time.Microsecond, new(efd.SigSet), 0)
			now, err := efd.ThreadSigMask()
			equal(t, "mask", now, usr2)
			return err
		}))
	}},
	{"a full mask is taken", func(t *testing.T) {
		all := efd.FullSigSet()
		polls2(t, nil, time.Microsecond, &all, 0)
	}},
	{"the runtime's signals stay deliverable whatever the mask says", func(t *testing.T) {
		all := efd.FullSigSet()
		c := traced(t, func() { polls2(t, nil, 0, &all, 0) })
		equal(t, "mask", c[0].Args[3].In, "~[RTMIN RT_1 RT_2]")
	}},
	{"the runtime's SIGURG never ends a wait with a mask", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		p := park(t, callPpoll, func() {
			polls2(t, []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, efd.Forever, new(efd.SigSet), 1)
		})
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGURG))
		waitFor(t, func() bool { return pending(p.tid, unix.SIGURG) }, "the signal is not pending")
		p.running(t)
		check(t, e.Signal())
		p.wait(t)
	}},
	{"a time-out with a mask is one", func(t *testing.T) { polls2(t, nil, time.Millisecond, new(efd.SigSet), 0) }},
	{"it allocates nothing", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		mask := new(efd.SigSet)
		fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
		noAllocs(t, func() { efd.Poll(fds, 0, nil) })
		noAllocs(t, func() { efd.Poll(fds, time.Second, mask) })
	}},
	{"masks print by name, the rest in hex", func(t *testing.T) {
		for ev, want := range map[efd.PollEvents]string{0: "0", efd.POLLIN | efd.POLLHUP | 0x4000: "POLLIN|POLLHUP|0x4000", efd.POLLNVAL: "POLLNVAL", 0x800: "0x800"} {
			equal(t, "String", ev.String(), want)
		}
	}},
}

// polls is Poll, which must find n ready.
func polls(t *testing.T, fds []efd.PollFD, timeout time.Duration, n int) {
	t.Helper()
	polls2(t, fds, timeout, nil, n)
}

func polls2(t *testing.T, fds []efd.PollFD, timeout time.Duration, mask *efd.SigSet, n int) {
	t.Helper()
	if got, err := efd.Poll(fds, timeout, mask); got != n || err != nil {
		t.Errorf("Poll = %d, %v; want %d", got, err, n)
	}
}

// interrupted wants err to tell of a wait of timeout that a signal ended.
func interrupted(t *testing.T, err error, op string, timeout time.Duration) {
	t.Helper()
	var i *efd.InterruptedError
	switch {
	case !errors.As(err, &i) || !errors.Is(err, unix.EINTR):
		t.Errorf("%v, want an InterruptedError", err)
	case i.Op != op:
		t.Errorf("Op %q, want %q", i.Op, op)
	case timeout == efd.Forever && i.Remaining != efd.Forever:
		t.Errorf("%v left of Forever", i.Remaining)
	case timeout != efd.Forever && (i.Remaining <= 0 || i.Remaining > timeout):
		t.Errorf("%v left of %v", i.Remaining, timeout)
	}
}
