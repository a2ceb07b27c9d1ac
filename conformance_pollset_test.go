//go:build linux

package efd_test

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var pollsetCases = []conformanceCase{
	{"the zero value is empty and ready", func(t *testing.T) { ready(t, new(efd.PollSet), 0) }},
	{"an empty one waits its time", func(t *testing.T) {
		var s efd.PollSet
		defer s.Close()
		atLeast(t, 2*time.Millisecond, func() { waits(t, &s, 2*time.Millisecond, 0) })
	}},
	{"Add twice is EEXIST", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		wantErr(t, "Add", s.Add(e, efd.POLLOUT), unix.EEXIST)
	}},
	{"Add of what cannot be compared is EINVAL", func(t *testing.T) {
		s := pollset(t)
		wantErr(t, "Add", s.Add(nil, efd.POLLIN), unix.EINVAL)
		wantErr(t, "Add", s.Add(incomparable{nil, newEventFD(t, 0, 0)}, efd.POLLIN), unix.EINVAL)
		wantErr(t, "Remove", s.Remove(nil), unix.EINVAL)
		wantErr(t, "Modify", s.Modify(nil, 0), unix.EINVAL)
	}},
	{"Add of a closed handle is os.ErrClosed", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, e.Close())
		equal(t, "Add", pollset(t).Add(e, efd.POLLIN), os.ErrClosed)
	}},
	{"Remove and Modify of what is no member are ENOENT", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 0, 0)
		wantErr(t, "Remove", s.Remove(e), unix.ENOENT)
		wantErr(t, "Modify", s.Modify(e, efd.POLLIN), unix.ENOENT)
	}},
	{"a ready member is yielded with its events", func(t *testing.T) {
		s, e, other := pollset(t), newEventFD(t, 1, 0), newEventFD(t, 0, 0)
		check(t, s.Add(other, efd.POLLIN))
		check(t, s.Add(e, inOut))
		waits(t, s, efd.Forever, 1)
		ready(t, s, 1, member{e, inOut})
	}},
	{"several, in the order of Add", func(t *testing.T) {
		s := pollset(t)
		var want []member
		for i := range 5 {
			e := newEventFD(t, uint32(i%2), 0)
			check(t, s.Add(e, efd.POLLIN))
			if i%2 == 1 {
				want = append(want, member{e, efd.POLLIN})
			}
		}
		waits(t, s, efd.Forever, 2)
		ready(t, s, 2, want...)
	}},
	{"a time-out leaves nothing ready", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		check(t, s.Add(e, efd.POLLIN))
		waits(t, s, 0, 1)
		e.Drain()
		waits(t, s, time.Millisecond, 0)
		ready(t, s, 0)
	}},
	{"Ready before any Wait yields nothing", func(t *testing.T) {
		s := pollset(t)
		check(t, s.Add(newEventFD(t, 1, 0), efd.POLLIN))
		ready(t, s, 0)
	}},
	{"Ready can be left early and asked again", func(t *testing.T) {
		s := pollset(t)
		for range 3 {
			check(t, s.Add(newEventFD(t, 1, 0), efd.POLLIN))
		}
		waits(t, s, efd.Forever, 3)
		for range s.Ready() {
			break
		}
		n := 0
		for range s.Ready() {
			n++
		}
		equal(t, "yielded", n, 3)
	}},
	{"a member may be removed while Ready is walked", func(t *testing.T) {
		s := pollset(t)
		for range 4 {
			check(t, s.Add(newEventFD(t, 1, 0), efd.POLLIN))
		}
		waits(t, s, efd.Forever, 4)
		for c := range s.Ready() {
			check(t, s.Remove(c))
		}
		waits(t, s, 0, 0)
	}},
	{"what was removed is not yielded", func(t *testing.T) {
		s, a, b := pollset(t), newEventFD(t, 1, 0), newEventFD(t, 1, 0)
		check(t, s.Add(a, efd.POLLIN))
		check(t, s.Add(b, efd.POLLIN))
		waits(t, s, efd.Forever, 2)
		check(t, s.Remove(a))
		ready(t, s, 1, member{b, efd.POLLIN})
	}},
	{"Remove, then Add again", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		check(t, s.Add(e, efd.POLLPRI))
		check(t, s.Remove(e))
		check(t, s.Add(e, efd.POLLIN))
		waits(t, s, efd.Forever, 1)
	}},
	{"Modify changes what is waited for", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		check(t, s.Add(e, efd.POLLPRI))
		waits(t, s, 0, 0)
		check(t, s.Modify(e, efd.POLLOUT))
		waits(t, s, efd.Forever, 1)
		ready(t, s, 1, member{e, efd.POLLOUT})
	}},
	{"a write wakes the sleeper", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		p := park(t, callPpoll, func() { waits(t, s, efd.Forever, 1) })
		check(t, e.Signal())
		p.wait(t)
	}},
	{"Add of a ready one wakes the sleeper", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		p := park(t, callPpoll, func() { waits(t, s, efd.Forever, 1) })
		check(t, s.Add(e, efd.POLLIN))
		p.wait(t)
		ready(t, s, 1, member{e, efd.POLLIN})
	}},
	{"Modify to what is ready wakes the sleeper", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		check(t, s.Add(e, efd.POLLPRI))
		p := park(t, callPpoll, func() { waits(t, s, efd.Forever, 1) })
		check(t, s.Modify(e, efd.POLLIN))
		p.wait(t)
	}},
	{"Remove while somebody sleeps: it wakes nobody any more", func(t *testing.T) {
		s, e, other := pollset(t), newEventFD(t, 0, 0), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		check(t, s.Add(other, efd.POLLIN))
		p := park(t, callPpoll, func() { waits(t, s, efd.Forever, 1) })
		check(t, s.Remove(e))
		check(t, e.Signal())
		p.running(t)
		check(t, other.Signal())
		p.wait(t)
		ready(t, s, 1, member{other, efd.POLLIN})
	}},
	{"an EventFD that closes ends the wait, and is yielded with POLLNVAL", func(t *testing.T) {
		s, e, other := pollset(t), newEventFD(t, 0, 0), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		check(t, s.Add(other, efd.POLLIN))
		var err error
		p := park(t, callPpoll, func() { _, err = s.Wait(efd.Forever, nil) })
		check(t, e.Close())
		p.wait(t)
		equal(t, "Wait", err, os.ErrClosed)
		ready(t, s, 1, member{e, efd.POLLNVAL})
	}},
	{"an Epoll that closes ends the wait", func(t *testing.T) {
		s, ep := pollset(t), newEpoll(t)
		check(t, s.Add(ep, efd.POLLIN))
		var err error
		p := park(t, callPpoll, func() { _, err = s.Wait(efd.Forever, nil) })
		check(t, ep.Close())
		p.wait(t)
		equal(t, "Wait", err, os.ErrClosed)
		ready(t, s, 1, member{ep, efd.POLLNVAL})
	}},
	{"a member that closed before the wait", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		check(t, s.Add(e, efd.POLLIN))
		check(t, e.Close())
		for range 2 {
			_, err := s.Wait(efd.Forever, nil)
			equal(t, "Wait", err, os.ErrClosed)
			ready(t, s, 1, member{e, efd.POLLNVAL})
		}
		check(t, s.Remove(e))
		waits(t, s, 0, 0)
	}},
	{"a number that is closed and reused during a wait is not reported for the new file", func(t *testing.T) {
		s, e, other := pollset(t), newEventFD(t, 0, 0), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		check(t, s.Add(other, efd.POLLIN))
		fd := e.FD()
		var err error
		p := park(t, callPpoll, func() { _, err = s.Wait(efd.Forever, nil) })
		check(t, e.Close())
		for range 64 { // one of them gets the number as soon as it is free
			if newEventFD(t, 1, 0).FD() == fd {
				break
			}
		}
		check(t, other.Signal())
		p.wait(t)
		equal(t, "Wait", err, os.ErrClosed)
		for c, ev := range s.Ready() {
			if c == syscall.Conn(e) && ev != efd.POLLNVAL {
				t.Errorf("the closed member is yielded with %v", ev)
			}
		}
	}},
	{"an os.File is a member by a duplicate: its Close does not wait for the set", func(t *testing.T) {
		s := pollset(t)
		r, w, err := os.Pipe()
		check(t, err)
		defer w.Close()
		check(t, s.Add(r, efd.POLLIN))
		p := park(t, callPpoll, func() { waits(t, s, efd.Forever, 1) })
		check(t, r.Close())
		p.running(t)
		_, err = w.Write([]byte{1})
		check(t, err)
		p.wait(t)
		ready(t, s, 1, member{r, efd.POLLIN})
		check(t, s.Remove(r))
	}},
	{"a net.Conn is a member", func(t *testing.T) {
		s := pollset(t)
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		check(t, err)
		defer c.Close()
		check(t, s.Add(c.(*net.UDPConn), efd.POLLIN))
		_, err = c.WriteTo([]byte{1}, c.LocalAddr())
		check(t, err)
		waits(t, s, time.Minute, 1)
	}},
	{"a duplicate is closed with its membership", func(t *testing.T) {
		r, w, err := os.Pipe()
		check(t, err)
		defer w.Close()
		s := pollset(t)
		check(t, s.Add(r, efd.POLLIN))
		check(t, r.Close())
		check(t, s.Remove(r))
		waitFor(t, func() bool {
			_, err := unix.Write(int(w.Fd()), []byte{1})
			return err == unix.EPIPE
		}, "a reader of the pipe is left")
	}},
	{"two waits at once: the second is refused", func(t *testing.T) {
		s := pollset(t)
		p := park(t, callPpoll, func() { s.Wait(efd.Forever, nil) })
		_, err := s.Wait(0, nil)
		wantErr(t, "Wait", err, unix.EBUSY)
		p.running(t)
		check(t, s.Close())
		p.wait(t)
	}},
	{"Close ends the wait", func(t *testing.T) {
		s := pollset(t)
		check(t, s.Add(newEventFD(t, 0, 0), efd.POLLIN))
		var err error
		p := park(t, callPpoll, func() { _, err = s.Wait(efd.Forever, nil) })
		check(t, s.Close())
		p.wait(t)
		equal(t, "Wait", err, os.ErrClosed)
	}},
	{"each method after Close is os.ErrClosed", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		check(t, s.Close())
		eachClosed(t, map[string]func() error{
			"Add": func() error { return s.Add(newEventFD(t, 0, 0), 0) }, "Modify": func() error { return s.Modify(e, 0) }, "Remove": func() error { return s.Remove(e) },
			"Wait": func() error { _, err := s.Wait(0, nil); return err }, "WaitContext": func() error { _, err := s.WaitContext(context.Background()); return err }, "Close": s.Close,
		})
		readsOf(t, e)
	}},
	{"Close lets the members' numbers go", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		check(t, s.Close())
		equal(t, "calls", calls(t, func() { e.Close() }), "close")
	}},
	{"WaitContext", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		check(t, s.Add(e, efd.POLLIN))
		n, err := s.WaitContext(context.Background())
		check(t, err)
		equal(t, "ready", n, 1)
	}},
	{"WaitContext: a done context wins", func(t *testing.T) {
		s := pollset(t)
		check(t, s.Add(newEventFD(t, 1, 0), efd.POLLIN))
		_, err := s.WaitContext(done())
		equal(t, "WaitContext", err, context.Canceled)
	}},
	{"WaitContext ends by cancel, and the set goes on", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		ctx, cancel := context.WithCancel(context.Background())
		var err error
		p := park(t, callPpoll, func() { _, err = s.WaitContext(ctx) })
		cancel()
		p.wait(t)
		equal(t, "WaitContext", err, context.Canceled)
		check(t, e.Signal())
		waits(t, s, efd.Forever, 1)
	}},
	{"WaitContext ends at its deadline", func(t *testing.T) {
		s := pollset(t)
		atLeast(t, 2*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
			defer cancel()
			_, err := s.WaitContext(ctx)
			equal(t, "WaitContext", err, context.DeadlineExceeded)
		})
	}},
	{"a signal is no end without a mask", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		s, e := pollset(t), newEventFD(t, 0, 0)
		check(t, s.Add(e, efd.POLLIN))
		p := park(t, callPpoll, func() { waits(t, s, time.Minute, 1) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		wait(t, c, "no signal")
		waitAsleep(t, p.tid, callPpoll)
		check(t, e.Signal())
		p.wait(t)
	}},
	{"with a mask a signal ends the wait, and the rest of the time is told", func(t *testing.T) {
		notified(t, unix.SIGUSR1)
		s := pollset(t)
		var err error
		p := park(t, callPpoll, func() { _, err = s.Wait(time.Hour, new(efd.SigSet)) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		p.wait(t)
		interrupted(t, err, "ppoll", time.Hour)
	}},
	{"members come and go while somebody waits", func(t *testing.T) {
		s, end := pollset(t), newEventFD(t, 0, 0)
		check(t, s.Add(end, efd.POLLIN))
		p := park(t, callPpoll, func() {
			for {
				n, err := s.Wait(efd.Forever, nil)
				if err != nil && err != os.ErrClosed || n == 1 && end.FD() >= 0 && pollOne(t, end.FD(), efd.POLLIN) != 0 {
					return
				}
				for c, ev := range s.Ready() {
					if ev == efd.POLLNVAL {
						s.Remove(c)
					}
				}
			}
		})
		for i := range 300 {
			e, err := efd.New(0, 0)
			check(t, err)
			check(t, s.Add(e, efd.POLLIN))
			if i%2 == 0 {
				check(t, s.Remove(e))
			}
			check(t, e.Close())
		}
		check(t, end.Signal())
		waitFor(t, func() bool {
			select {
			case <-p.done:
				return true
			default:
				s.Remove(end)
				s.Add(end, efd.POLLIN) // pokes a waiter that is between two waits
				return false
			}
		}, "the waiter does not end")
	}},
	{"400 members", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 0, 0)
		for range 400 {
			check(t, s.Add(dup(t, e), efd.POLLIN))
		}
		waits(t, s, 0, 0)
		check(t, e.Signal())
		waits(t, s, efd.Forever, 400)
	}},
	{"one wait, one call, and it allocates nothing", func(t *testing.T) {
		s, e := pollset(t), newEventFD(t, 1, 0)
		check(t, s.Add(e, efd.POLLIN))
		waits(t, s, efd.Forever, 1)
		equal(t, "calls", calls(t, func() { waits(t, s, efd.Forever, 1) }), "ppoll")
		noAllocs(t, func() { s.Wait(efd.Forever, nil) })
		noAllocs(t, func() { s.Wait(0, nil) })
	}},
}

// incomparable is a Conn that cannot be a map's key.
type incomparable struct {
	_ []int
	*efd.EventFD
}

type member struct {
	conn   syscall.Conn
	events efd.PollEvents
}

func pollset(t *testing.T) *efd.PollSet {
	t.Helper()
	s := new(efd.PollSet)
	t.Cleanup(func() { s.Close() })
	return s
}

func waits(t *testing.T, s *efd.PollSet, timeout time.Duration, want int) {
	t.Helper()
	if n, err := s.Wait(timeout, nil); n != want || err != nil {
		t.Errorf("Wait = %d, %v; want %d", n, err, want)
	}
}

// ready wants Ready to yield exactly want, n of them.
func ready(t *testing.T, s *efd.PollSet, n int, want ...member) {
	t.Helper()
	i := 0
	for c, ev := range s.Ready() {
		if i < len(want) && (member{c, ev}) != want[i] {
			t.Errorf("member %d: %v with %v, want %v with %v", i, c, ev, want[i].conn, want[i].events)
		}
		i++
	}
	equal(t, "members yielded", i, n)
}
