//go:build linux

package efd_test

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

var epollCases = []conformanceCase{
	{"NewEpoll sets close-on-exec", func(t *testing.T) { equal(t, "FD_CLOEXEC", fdFlags(t, newEpoll(t).FD()), unix.FD_CLOEXEC) }},
	{"Add twice is EEXIST", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 0))
		wantErr(t, "Add", p.Add(e.FD(), efd.EPOLLOUT, 1), unix.EEXIST)
	}},
	{"Modify of what is not there is ENOENT", func(t *testing.T) {
		wantErr(t, "Modify", newEpoll(t).Modify(newEventFD(t, 0, 0).FD(), efd.EPOLLIN, 0), unix.ENOENT)
	}},
	{"Delete of what is not there is ENOENT", func(t *testing.T) {
		wantErr(t, "Delete", newEpoll(t).Delete(newEventFD(t, 0, 0).FD()), unix.ENOENT)
	}},
	{"Delete twice is ENOENT", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 0))
		check(t, p.Delete(e.FD()))
		wantErr(t, "Delete", p.Delete(e.FD()), unix.ENOENT)
	}},
	{"Add after Delete", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		check(t, p.Add(e.FD(), efd.EPOLLOUT, 1))
		check(t, p.Delete(e.FD()))
		check(t, p.Add(e.FD(), efd.EPOLLIN, 2))
		events(t, p, event{efd.EPOLLIN, 2})
	}},
	{"Add of a regular file is EPERM", func(t *testing.T) {
		f, err := os.Open(os.Args[0])
		check(t, err)
		defer f.Close()
		wantErr(t, "Add", newEpoll(t).Add(int(f.Fd()), efd.EPOLLIN, 0), unix.EPERM)
	}},
	{"Add of a directory is EPERM", func(t *testing.T) {
		f, err := os.Open(".")
		check(t, err)
		defer f.Close()
		wantErr(t, "Add", newEpoll(t).Add(int(f.Fd()), efd.EPOLLIN, 0), unix.EPERM)
	}},
	{"Add of a closed number is EBADF", func(t *testing.T) {
		wantErr(t, "Add", newEpoll(t).Add(freeNumber(t), efd.EPOLLIN, 0), unix.EBADF)
	}},
	{"Add of a negative number is EBADF", func(t *testing.T) { wantErr(t, "Add", newEpoll(t).Add(-1, efd.EPOLLIN, 0), unix.EBADF) }},
	{"Add of itself is EINVAL", func(t *testing.T) {
		p := newEpoll(t)
		wantErr(t, "Add", p.Add(p.FD(), efd.EPOLLIN, 0), unix.EINVAL)
	}},
	{"a cycle of two is ELOOP", func(t *testing.T) {
		a, b := newEpoll(t), newEpoll(t)
		check(t, a.Add(b.FD(), efd.EPOLLIN, 0))
		wantErr(t, "Add", b.Add(a.FD(), efd.EPOLLIN, 0), unix.ELOOP)
	}},
	{"a cycle of three is ELOOP", func(t *testing.T) {
		a, b, c := newEpoll(t), newEpoll(t), newEpoll(t)
		check(t, a.Add(b.FD(), efd.EPOLLIN, 0))
		check(t, b.Add(c.FD(), efd.EPOLLIN, 0))
		wantErr(t, "Add", c.Add(a.FD(), efd.EPOLLIN, 0), unix.ELOOP)
	}},
	{"five levels nest, a sixth is refused", func(t *testing.T) {
		inner := newEpoll(t)
		check(t, inner.Add(newEventFD(t, 1, 0).FD(), efd.EPOLLIN, 0))
		for level := 2; ; level++ {
			outer := newEpoll(t)
			if err := outer.Add(inner.FD(), efd.EPOLLIN, 0); err != nil {
				if !errors.Is(err, unix.EINVAL) { // what 5.10 says of what is too deep above
					wantErr(t, "Add", err, unix.ELOOP)
				}
				equal(t, "level", level, 6)
				return
			}
			events(t, outer, event{efd.EPOLLIN, 0})
			inner = outer
		}
	}},
	{"all 64 bits of data come back", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 0))
		for _, data := range []uint64{0, 1, math.MaxUint32, 1 << 32, 1 << 63, 0x1122334455667788, math.MaxUint64} {
			check(t, p.Modify(e.FD(), efd.EPOLLIN, data))
			events(t, p, event{efd.EPOLLIN, data})
		}
	}},
	{"struct epoll_event is packed on x86 alone", func(t *testing.T) {
		equal(t, "size", unsafe.Sizeof(efd.EpollEvent{}), unsafe.Sizeof(unix.EpollEvent{}))
	}},
	{"nothing registered, no time", func(t *testing.T) { events(t, newEpoll(t)) }},
	{"no room for events is EINVAL", func(t *testing.T) {
		p := newEpoll(t)
		for _, room := range [][]efd.EpollEvent{nil, {}} {
			_, err := p.Wait(room, 0, nil)
			wantErr(t, "Wait", err, unix.EINVAL)
			_, err = p.WaitContext(context.Background(), room)
			wantErr(t, "WaitContext", err, unix.EINVAL)
		}
	}},
	{"readable and writable", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN|efd.EPOLLOUT, 3))
		events(t, p, event{efd.EPOLLIN | efd.EPOLLOUT, 3})
	}},
	{"what is not asked for is not reported", func(t *testing.T) {
		p := newEpoll(t)
		check(t, p.Add(newEventFD(t, 1, 0).FD(), efd.EPOLLPRI, 3))
		events(t, p)
	}},
	{"events 0 still tells hang-ups", func(t *testing.T) {
		p := newEpoll(t)
		r, w := pipe(t)
		check(t, p.Add(r.fd, 0, 4))
		events(t, p)
		w.close()
		events(t, p, event{efd.EPOLLHUP, 4})
	}},
	{"a pipe without a reader is EPOLLERR", func(t *testing.T) {
		p := newEpoll(t)
		r, w := pipe(t)
		check(t, p.Add(w.fd, efd.EPOLLOUT, 4))
		r.close()
		events(t, p, event{efd.EPOLLOUT | efd.EPOLLERR, 4})
	}},
	{"EPOLLRDHUP", func(t *testing.T) {
		p := newEpoll(t)
		a, b := socketPair(t)
		check(t, p.Add(a.fd, efd.EPOLLRDHUP, 4))
		check(t, unix.Shutdown(b.fd, unix.SHUT_WR))
		events(t, p, event{efd.EPOLLRDHUP, 4})
	}},
	{"the kernel's own signals raise EPOLLERR", func(t *testing.T) {
		p, e := newEpoll(t), full(t)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 4))
		aioSignal(t, e)
		events(t, p, event{efd.EPOLLIN | efd.EPOLLERR, 4})
	}},
	{"no more than there is room for, and those left come next", func(t *testing.T) {
		p := newEpoll(t)
		for i := range uint64(3) {
			check(t, p.Add(newEventFD(t, 1, 0).FD(), efd.EPOLLIN, i))
		}
		seen := map[uint64]bool{}
		for range 3 {
			one := make([]efd.EpollEvent, 1)
			n, err := p.Wait(one, 0, nil)
			check(t, err)
			equal(t, "events", n, 1)
			seen[one[0].Data()] = true
		}
		equal(t, "different ones", len(seen), 3)
	}},
	{"more room than events", func(t *testing.T) {
		p := newEpoll(t)
		check(t, p.Add(newEventFD(t, 1, 0).FD(), efd.EPOLLIN, 1))
		room := make([]efd.EpollEvent, 1000)
		n, err := p.Wait(room, efd.Forever, nil)
		check(t, err)
		equal(t, "events", n, 1)
		equal(t, "the rest", room[1], efd.EpollEvent{})
	}},
	{"500 ready", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		for i := range 500 {
			fd := own2(t)(unix.FcntlInt(uintptr(e.FD()), unix.F_DUPFD_CLOEXEC, 0)).fd
			check(t, p.Add(fd, efd.EPOLLIN, uint64(i)))
		}
		n, err := p.Wait(make([]efd.EpollEvent, 1000), 0, nil)
		check(t, err)
		equal(t, "events", n, 500)
	}},
	{"one file by two numbers is two registrations", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		d := dup(t, e)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 1))
		check(t, p.Add(d.FD(), efd.EPOLLIN, 2))
		events(t, p, event{efd.EPOLLIN, 1}, event{efd.EPOLLIN, 2})
	}},
	{"one file in two epolls is reported by both", func(t *testing.T) {
		a, b, e := newEpoll(t), newEpoll(t), newEventFD(t, 1, 0)
		check(t, a.Add(e.FD(), efd.EPOLLIN, 1))
		check(t, b.Add(e.FD(), efd.EPOLLIN, 2))
		events(t, a, event{efd.EPOLLIN, 1})
		events(t, b, event{efd.EPOLLIN, 2})
	}},
	{"a closed file takes its registration along", func(t *testing.T) {
		p := newEpoll(t)
		r, w := pipe(t)
		put(t, w.fd, 1)
		check(t, p.Add(r.fd, efd.EPOLLIN, 1))
		r.close()
		events(t, p)
		equal(t, "interest", len(interest(t, p)), 0)
	}},
	{"a number closed while a duplicate lives leaves a ghost, which Interest shows", func(t *testing.T) {
		p := newEpoll(t)
		r, w := pipe(t)
		own2(t)(unix.FcntlInt(uintptr(r.fd), unix.F_DUPFD_CLOEXEC, 0))
		put(t, w.fd, 1)
		check(t, p.Add(r.fd, efd.EPOLLIN, 77))
		r.close()
		events(t, p, event{efd.EPOLLIN, 77})
		wantErr(t, "Delete", p.Delete(r.fd), unix.EBADF)
		equal(t, "interest", interest(t, p)[0].FD, r.fd)
	}},
	{"timeouts are not cut short", func(t *testing.T) {
		p := newEpoll(t)
		for _, d := range []time.Duration{50 * time.Microsecond, 999 * time.Microsecond, 1500001, 5 * time.Millisecond} {
			atLeast(t, d, func() {
				n, err := p.Wait(make([]efd.EpollEvent, 1), d, nil)
				check(t, err)
				equal(t, "events", n, 0)
			})
		}
	}},
	{"whole milliseconds are epoll_pwait's, parts are epoll_pwait2's", func(t *testing.T) {
		p, room := newEpoll(t), make([]efd.EpollEvent, 1)
		check(t, p.Add(newEventFD(t, 1, 0).FD(), efd.EPOLLIN, 0))
		for d, want := range map[time.Duration]string{
			0: "epoll_pwait", efd.Forever: "epoll_pwait", time.Millisecond: "epoll_pwait", 3 * time.Hour: "epoll_pwait",
			1: "epoll_pwait2", 1500 * time.Microsecond: "epoll_pwait2", 25 * 24 * time.Hour: "epoll_pwait2",
		} {
			got := calls(t, func() { p.Wait(room, d, nil) })
			if got != want && got != "epoll_pwait2 epoll_pwait" && !(got == "epoll_pwait" && noPwait2(t)) {
				t.Errorf("%v: %s, want %s", d, got, want)
			}
		}
	}},
	{"a timeout of 100 days", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 1))
		w := park(t, callEpoll, func() { p.Wait(make([]efd.EpollEvent, 1), 100*24*time.Hour, nil) })
		check(t, e.Signal())
		w.wait(t)
	}},
	{"a signal is no end without a mask", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 1))
		var n int
		var err error
		w := park(t, callEpoll, func() { n, err = p.Wait(make([]efd.EpollEvent, 1), time.Minute, nil) })
		for range 3 {
			check(t, unix.Tgkill(os.Getpid(), w.tid, unix.SIGUSR1))
			wait(t, c, "no signal")
			waitAsleep(t, w.tid, callEpoll)
		}
		check(t, e.Signal())
		w.wait(t)
		check(t, err)
		equal(t, "events", n, 1)
	}},
	{"after a signal the time left is waited, not all of it", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 0))
		var told atomic.Int32
		c := traced(t, func() {
			tid := unix.Gettid()
			defer efd.AddTracer(func(c *efd.Call) {
				if c.TID == tid {
					told.Add(1)
				}
			})()
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				waitAsleep(t, tid, callEpoll)
				for start := time.Now(); time.Since(start) < 2*time.Millisecond; { // without epoll_pwait2 less may not count
					runtime.Gosched()
				}
				unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
				waitFor(t, func() bool { return told.Load() > 0 }, "no interrupted call was told")
				e.Signal()
			}()
			p.Wait(make([]efd.EpollEvent, 1), time.Minute, nil)
			<-sent
		})
		if last := c[len(c)-1]; len(c) < 2 || last.Ret != 1 || last.Args[3].In == c[0].Args[3].In {
			t.Errorf("%v", texts(c))
		}
	}},
	{"with a mask a signal ends the wait, and the rest of the time is told", func(t *testing.T) {
		notified(t, unix.SIGUSR1)
		p := newEpoll(t)
		for timeout, op := range map[time.Duration]string{efd.Forever: "epoll_pwait", time.Hour: "epoll_pwait", time.Hour + 1: "epoll_pwait2"} {
			if op == "epoll_pwait2" && noPwait2(t) {
				continue
			}
			var err error
			w := park(t, callEpoll, func() { _, err = p.Wait(make([]efd.EpollEvent, 1), timeout, new(efd.SigSet)) })
			check(t, unix.Tgkill(os.Getpid(), w.tid, unix.SIGUSR1))
			w.wait(t)
			interrupted(t, err, op, timeout)
		}
	}},
	{"a signal that the mask blocks waits", func(t *testing.T) {
		native(t, "deliver a signal that the mask of a wait held back")
		c := notified(t, unix.SIGUSR1)
		mask, err := efd.NewSigSet(unix.SIGUSR1)
		check(t, err)
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN, 1))
		w := park(t, callEpoll, func() { p.Wait(make([]efd.EpollEvent, 1), efd.Forever, &mask) })
		check(t, unix.Tgkill(os.Getpid(), w.tid, unix.SIGUSR1))
		waitFor(t, func() bool { return pending(w.tid, unix.SIGUSR1) }, "the signal is not pending")
		w.running(t)
		check(t, e.Signal())
		w.wait(t)
		wait(t, c, "the signal was lost")
	}},
	{"a pending signal that the mask lets through ends the wait at once", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		usr1, err := efd.NewSigSet(unix.SIGUSR1)
		check(t, err)
		p := newEpoll(t)
		check(t, efd.WithSigMask(usr1, func() error {
			check(t, unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1))
			_, err := p.Wait(make([]efd.EpollEvent, 1), time.Hour, new(efd.SigSet))
			interrupted(t, err, "epoll_pwait", time.Hour)
			return nil
		}))
		wait(t, c, "no signal")
	}},
	{"it allocates nothing", func(t *testing.T) {
		p, room := newEpoll(t), make([]efd.EpollEvent, 4)
		check(t, p.Add(newEventFD(t, 1, 0).FD(), efd.EPOLLIN, 0))
		mask := new(efd.SigSet)
		noAllocs(t, func() { p.Wait(room, 0, nil) })
		noAllocs(t, func() { p.Wait(room, time.Second, mask) })
		noAllocs(t, func() { p.Wait(room, 1500001, nil) })
	}},
	{"masks print by name, the rest in hex", func(t *testing.T) {
		equal(t, "String", (efd.EPOLLIN | efd.EPOLLET | 1<<22).String(), "EPOLLIN|EPOLLET|0x400000")
		equal(t, "String", efd.EpollEvents(0).String(), "0")
	}},
}

var epollModeCases = []conformanceCase{
	{"level: told again until it is taken", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		check(t, e.Signal())
		for range 3 {
			events(t, p, event{efd.EPOLLIN, 9})
		}
		e.Drain()
		events(t, p)
	}},
	{"edge: told once", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
		events(t, p)
	}},
	{"edge: a count that was there at Add is told", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		check(t, p.Add(e.FD(), efd.EPOLLIN|efd.EPOLLET, 9))
		events(t, p, event{efd.EPOLLIN, 9})
		events(t, p)
	}},
	{"edge: a write is a new edge though nothing was read", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		for range 3 {
			check(t, e.Signal())
			events(t, p, event{efd.EPOLLIN, 9})
		}
	}},
	{"edge: two writes before a wait are one", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		check(t, e.Signal())
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
		events(t, p)
	}},
	{"edge: a write of 0 to a count is one too", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
		check(t, e.Write(0))
		events(t, p, event{efd.EPOLLIN, 9})
	}},
	{"edge: a write of 0 to an empty counter tells nothing", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		check(t, e.Write(0))
		events(t, p)
	}},
	{"edge: a read is an edge for who waits for room", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLOUT|efd.EPOLLET)
		events(t, p, event{efd.EPOLLOUT, 9})
		check(t, e.Signal())
		events(t, p)
		e.Drain()
		events(t, p, event{efd.EPOLLOUT, 9})
	}},
	{"edge: Modify looks again", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
		check(t, p.Modify(e.FD(), efd.EPOLLIN|efd.EPOLLET, 10))
		events(t, p, event{efd.EPOLLIN, 10})
	}},
	{"edge: one of two waiters is woken", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		got := make(chan int, 2)
		for range 2 {
			park(t, callEpoll, func() { n, _ := p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil); got <- n })
		}
		check(t, e.Signal())
		equal(t, "first", wait(t, got, "nobody woke"), 1)
		check(t, e.Signal())
		equal(t, "second", wait(t, got, "the other did not wake"), 1)
	}},
	{"level: both of two waiters are woken", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		var all []*parked
		for range 2 {
			all = append(all, park(t, callEpoll, func() { p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) }))
		}
		check(t, e.Signal())
		for _, w := range all {
			w.wait(t)
		}
	}},
	{"one-shot: told once, kept with no events", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLONESHOT)
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
		check(t, e.Signal())
		events(t, p)
		list := interest(t, p)
		equal(t, "registrations", len(list), 1)
		equal(t, "events", list[0].Events&efd.EPOLLIN, 0)
	}},
	{"one-shot: Modify arms it again", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLONESHOT)
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
		check(t, p.Modify(e.FD(), efd.EPOLLIN|efd.EPOLLONESHOT, 10))
		events(t, p, event{efd.EPOLLIN, 10})
		events(t, p)
	}},
	{"one-shot: Add of a spent one is EEXIST", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLONESHOT)
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
		wantErr(t, "Add", p.Add(e.FD(), efd.EPOLLIN, 0), unix.EEXIST)
	}},
	{"one-shot: a spent one does not tell hang-ups", func(t *testing.T) {
		p := newEpoll(t)
		r, w := pipe(t)
		check(t, p.Add(r.fd, efd.EPOLLIN|efd.EPOLLONESHOT, 1))
		put(t, w.fd, 1)
		events(t, p, event{efd.EPOLLIN, 1})
		w.close()
		events(t, p)
	}},
	{"exclusive: goes with IN, OUT, ERR, HUP, WAKEUP and ET", func(t *testing.T) {
		for _, ev := range []efd.EpollEvents{efd.EPOLLIN, efd.EPOLLOUT, efd.EPOLLERR, efd.EPOLLHUP, efd.EPOLLET | efd.EPOLLIN, efd.EPOLLWAKEUP} {
			check(t, newEpoll(t).Add(newEventFD(t, 0, 0).FD(), ev|efd.EPOLLEXCLUSIVE, 0))
		}
	}},
	{"exclusive: refused with the others, which the error names", func(t *testing.T) {
		for _, ev := range []efd.EpollEvents{efd.EPOLLONESHOT, efd.EPOLLRDHUP, efd.EPOLLPRI, efd.EPOLLRDNORM} {
			p := newEpoll(t)
			var err error
			fd := newEventFD(t, 0, 0).FD()
			equal(t, "calls", calls(t, func() { err = p.Add(fd, ev|efd.EPOLLIN|efd.EPOLLEXCLUSIVE, 0) }), "")
			wantErr(t, "Add", err, unix.EINVAL)
			if err == nil || !strings.Contains(err.Error(), ev.String()) {
				t.Errorf("%v does not name %v", err, ev)
			}
		}
	}},
	{"exclusive: not by Modify", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		wantErr(t, "Modify", p.Modify(e.FD(), efd.EPOLLIN|efd.EPOLLEXCLUSIVE, 0), unix.EINVAL)
	}},
	{"exclusive: cannot be modified", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLEXCLUSIVE)
		wantErr(t, "Modify", p.Modify(e.FD(), efd.EPOLLIN, 0), unix.EINVAL)
	}},
	{"exclusive: not for an epoll", func(t *testing.T) {
		wantErr(t, "Add", newEpoll(t).Add(newEpoll(t).FD(), efd.EPOLLIN|efd.EPOLLEXCLUSIVE, 0), unix.EINVAL)
		wantErr(t, "AddConn", newEpoll(t).AddConn(newEpoll(t), efd.EPOLLIN|efd.EPOLLEXCLUSIVE, 0), unix.EINVAL)
	}},
	{"exclusive: of several epolls one at least is woken", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		got := make(chan int, 4)
		for range cap(got) {
			p := newEpoll(t)
			check(t, p.Add(e.FD(), efd.EPOLLIN|efd.EPOLLEXCLUSIVE, 1))
			park(t, callEpoll, func() { n, _ := p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil); got <- n })
		}
		for range cap(got) {
			check(t, e.Signal())
			equal(t, "events", wait(t, got, "nobody woke"), 1)
		}
	}},
	{"EPOLLWAKEUP is taken", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLWAKEUP)
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 9})
	}},
	{"nested: the outer tells that the inner has something", func(t *testing.T) {
		inner, e := watched(t, efd.EPOLLIN)
		outer := newEpoll(t)
		check(t, outer.Add(inner.FD(), efd.EPOLLIN, 1))
		events(t, outer)
		check(t, e.Signal())
		events(t, outer, event{efd.EPOLLIN, 1})
		e.Drain()
		events(t, outer)
	}},
	{"nested: a sleeper at the outer is woken", func(t *testing.T) {
		inner, e := watched(t, efd.EPOLLIN)
		outer := newEpoll(t)
		check(t, outer.Add(inner.FD(), efd.EPOLLIN, 1))
		w := park(t, callEpoll, func() { outer.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) })
		check(t, e.Signal())
		w.wait(t)
	}},
	{"nested: an edge at the outer is told once", func(t *testing.T) {
		inner, e := watched(t, efd.EPOLLIN)
		outer := newEpoll(t)
		check(t, outer.Add(inner.FD(), efd.EPOLLIN|efd.EPOLLET, 1))
		check(t, e.Signal())
		events(t, outer, event{efd.EPOLLIN, 1})
		events(t, outer)
		events(t, inner, event{efd.EPOLLIN, 9})
	}},
	{"nested: an edge within is taken by the inner's wait alone", func(t *testing.T) {
		inner, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		outer := newEpoll(t)
		check(t, outer.Add(inner.FD(), efd.EPOLLIN, 1))
		check(t, e.Signal())
		events(t, outer, event{efd.EPOLLIN, 1})
		events(t, inner, event{efd.EPOLLIN, 9})
		events(t, outer)
	}},
	{"Add while somebody sleeps wakes him", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		w := park(t, callEpoll, func() { p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) })
		check(t, p.Add(e.FD(), efd.EPOLLIN, 0))
		w.wait(t)
	}},
	{"Modify while somebody sleeps wakes him", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLPRI)
		w := park(t, callEpoll, func() { p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) })
		check(t, p.Modify(e.FD(), efd.EPOLLOUT, 0))
		w.wait(t)
	}},
	{"Delete while somebody sleeps: nothing is told any more", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		other := newEventFD(t, 0, 0)
		check(t, p.Add(other.FD(), efd.EPOLLIN, 2))
		room := make([]efd.EpollEvent, 4)
		n := 0
		w := park(t, callEpoll, func() { n, _ = p.Wait(room, efd.Forever, nil) })
		check(t, p.Delete(e.FD()))
		check(t, e.Signal())
		w.running(t)
		check(t, other.Signal())
		w.wait(t)
		equal(t, "events", n, 1)
		equal(t, "data", room[0].Data(), 2)
	}},
	{"an epoll in Poll and in Select", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		check(t, e.Signal())
		equal(t, "Poll", pollOne(t, p.FD(), efd.POLLIN), efd.POLLIN)
		selects(t, set(t, p.FD()), nil, nil, 0, 1)
	}},
}

var epollHandleCases = []conformanceCase{
	{"each method after Close is os.ErrClosed", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.Close())
		equal(t, "FD", p.FD(), -1)
		room := make([]efd.EpollEvent, 1)
		eachClosed(t, map[string]func() error{
			"Add": func() error { return p.Add(e.FD(), efd.EPOLLIN, 0) }, "Modify": func() error { return p.Modify(e.FD(), 0, 0) },
			"Delete": func() error { return p.Delete(e.FD()) }, "AddConn": func() error { return p.AddConn(e, 0, 0) },
			"ModifyConn": func() error { return p.ModifyConn(e, 0, 0) }, "DeleteConn": func() error { return p.DeleteConn(e) },
			"Wait": func() error { _, err := p.Wait(room, 0, nil); return err }, "WaitContext": func() error { _, err := p.WaitContext(context.Background(), room); return err },
			"Interest": func() error { _, err := p.Interest(); return err }, "BusyPoll": func() error { _, err := p.BusyPoll(); return err },
			"SetBusyPoll": func() error { return p.SetBusyPoll(efd.BusyPoll{}) }, "SyscallConn": func() error { _, err := p.SyscallConn(); return err }, "Close": p.Close,
		})
	}},
	{"Close ends a sleeping Wait", func(t *testing.T) {
		p := newEpoll(t)
		var err error
		w := park(t, callEpoll, func() { _, err = p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) })
		check(t, p.Close())
		w.wait(t)
		equal(t, "Wait", err, os.ErrClosed)
	}},
	{"Close ends every sleeping Wait", func(t *testing.T) {
		p := newEpoll(t)
		ends := make(chan error, 5)
		for i := range cap(ends) {
			timeout := []time.Duration{efd.Forever, time.Hour, time.Hour + 1}[i%3]
			park(t, callEpoll, func() { _, err := p.Wait(make([]efd.EpollEvent, 1), timeout, nil); ends <- err })
		}
		check(t, p.Close())
		for range cap(ends) {
			equal(t, "Wait", wait(t, ends, "a waiter was forgotten"), os.ErrClosed)
		}
	}},
	{"Close ends WaitContext", func(t *testing.T) {
		p := newEpoll(t)
		got := waitsContext(p, context.Background())
		waitGoroutines(t, 1, "WaitContext", inPoller)
		check(t, p.Close())
		equal(t, "WaitContext", wait(t, got, "no end"), os.ErrClosed)
	}},
	{"Close ends both kinds of wait", func(t *testing.T) {
		p := newEpoll(t)
		got := waitsContext(p, context.Background())
		waitGoroutines(t, 1, "WaitContext", inPoller)
		var err error
		w := park(t, callEpoll, func() { _, err = p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) })
		check(t, p.Close())
		w.wait(t)
		equal(t, "Wait", err, os.ErrClosed)
		equal(t, "WaitContext", wait(t, got, "no end"), os.ErrClosed)
	}},
	{"WaitContext of what is ready", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		check(t, e.Signal())
		check(t, wait(t, waitsContext(p, context.Background()), "no event"))
	}},
	{"WaitContext waits for a write", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		got := waitsContext(p, context.Background())
		waitGoroutines(t, 1, "WaitContext", inPoller)
		check(t, e.Signal())
		check(t, wait(t, got, "no event"))
	}},
	{"WaitContext: a done context wins over what is ready", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN)
		check(t, e.Signal())
		_, err := p.WaitContext(done(), make([]efd.EpollEvent, 1))
		equal(t, "WaitContext", err, context.Canceled)
	}},
	{"WaitContext ends by cancel", func(t *testing.T) {
		p := newEpoll(t)
		ctx, cancel := context.WithCancel(context.Background())
		got := waitsContext(p, ctx)
		waitGoroutines(t, 1, "WaitContext", inPoller)
		cancel()
		equal(t, "WaitContext", wait(t, got, "no end"), context.Canceled)
	}},
	{"WaitContext of many costs no thread each", func(t *testing.T) {
		before := threads(t)
		ends := make(chan error, 50)
		var all []*efd.Epoll
		for range cap(ends) {
			p := newEpoll(t)
			all = append(all, p)
			go func() { _, err := p.WaitContext(context.Background(), make([]efd.EpollEvent, 1)); ends <- err }()
		}
		waitGoroutines(t, cap(ends), "WaitContext", inPoller)
		if more := threads(t) - before; more > 10 {
			t.Errorf("%d threads more", more)
		}
		for _, p := range all {
			check(t, p.Close())
		}
		for range cap(ends) {
			equal(t, "WaitContext", wait(t, ends, "a waiter was forgotten"), os.ErrClosed)
		}
	}},
	{"AddConn, ModifyConn, DeleteConn of an EventFD", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		check(t, p.AddConn(e, efd.EPOLLIN, 1))
		wantErr(t, "AddConn", p.AddConn(e, efd.EPOLLIN, 1), unix.EEXIST)
		events(t, p, event{efd.EPOLLIN, 1})
		check(t, p.ModifyConn(e, efd.EPOLLOUT, 2))
		events(t, p, event{efd.EPOLLOUT, 2})
		check(t, p.DeleteConn(e))
		wantErr(t, "DeleteConn", p.DeleteConn(e), unix.ENOENT)
		events(t, p)
	}},
	{"AddConn of an os.File and of a net.Conn", func(t *testing.T) {
		p := newEpoll(t)
		r, w, err := os.Pipe()
		check(t, err)
		defer r.Close()
		defer w.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		defer l.Close()
		check(t, p.AddConn(r, efd.EPOLLIN, 1))
		check(t, p.AddConn(l.(*net.TCPListener), efd.EPOLLIN, 2))
		_, err = w.Write([]byte{1})
		check(t, err)
		events(t, p, event{efd.EPOLLIN, 1})
	}},
	{"AddConn of an epoll", func(t *testing.T) {
		inner, e := watched(t, efd.EPOLLIN)
		p := newEpoll(t)
		check(t, p.AddConn(inner, efd.EPOLLIN, 1))
		check(t, e.Signal())
		events(t, p, event{efd.EPOLLIN, 1})
	}},
	{"AddConn of itself is EINVAL", func(t *testing.T) {
		p := newEpoll(t)
		wantErr(t, "AddConn", p.AddConn(p, efd.EPOLLIN, 1), unix.EINVAL)
	}},
	{"AddConn of nil is EBADF", func(t *testing.T) { wantErr(t, "AddConn", newEpoll(t).AddConn(nil, efd.EPOLLIN, 1), unix.EBADF) }},
	{"AddConn of a closed handle is os.ErrClosed", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		e.Close()
		equal(t, "AddConn", newEpoll(t).AddConn(e, efd.EPOLLIN, 1), os.ErrClosed)
	}},
	{"a handle that closes takes itself out first: no ghost", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		dup(t, e)
		check(t, p.AddConn(e, efd.EPOLLIN, 1))
		check(t, e.Close())
		events(t, p)
		equal(t, "interest", len(interest(t, p)), 0)
	}},
	{"a handle that closes takes itself out of each epoll", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		dup(t, e)
		var all []*efd.Epoll
		for i := range uint64(4) {
			p := newEpoll(t)
			check(t, p.AddConn(e, efd.EPOLLIN, i))
			all = append(all, p)
		}
		check(t, all[3].Close())
		check(t, e.Close())
		for _, p := range all[:3] {
			equal(t, "interest", len(interest(t, p)), 0)
		}
	}},
	{"an epoll that closes leaves its members be", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 1, 0)
		check(t, p.AddConn(e, efd.EPOLLIN, 1))
		check(t, p.Close())
		readsOf(t, e, 1)
		check(t, e.Close())
	}},
	{"Interest of nothing", func(t *testing.T) { equal(t, "registrations", len(interest(t, newEpoll(t))), 0) }},
	{"Interest shows number, data, and the events that the kernel adds", func(t *testing.T) {
		p := newEpoll(t)
		want := []efd.Interest{}
		for i, ev := range []efd.EpollEvents{0, efd.EPOLLIN, efd.EPOLLOUT | efd.EPOLLET, efd.EPOLLIN | efd.EPOLLONESHOT} {
			fd := newEventFD(t, 0, 0).FD()
			check(t, p.Add(fd, ev, math.MaxUint64-uint64(i)))
			want = append(want, efd.Interest{FD: fd, Events: ev | efd.EPOLLERR | efd.EPOLLHUP, Data: math.MaxUint64 - uint64(i)})
		}
		got := interest(t, p)
		slices.SortFunc(got, func(a, b efd.Interest) int { return a.FD - b.FD })
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}},
	{"Interest takes no event", func(t *testing.T) {
		p, e := watched(t, efd.EPOLLIN|efd.EPOLLET)
		check(t, e.Signal())
		interest(t, p)
		events(t, p, event{efd.EPOLLIN, 9})
	}},
	{"busy poll is off at first", func(t *testing.T) {
		b, err := newEpoll(t).BusyPoll()
		busyPoll(t, err)
		equal(t, "BusyPoll", b, efd.BusyPoll{})
	}},
	{"busy poll parameters are kept", func(t *testing.T) {
		p := newEpoll(t)
		want := efd.BusyPoll{Usecs: 64, Budget: 8, Prefer: true}
		busyPoll(t, p.SetBusyPoll(want))
		got, err := p.BusyPoll()
		check(t, err)
		equal(t, "BusyPoll", got, want)
	}},
	{"busy poll for 2^31 µs is EINVAL", func(t *testing.T) {
		err := newEpoll(t).SetBusyPoll(efd.BusyPoll{Usecs: 1 << 31})
		wantErr(t, "SetBusyPoll", err, unix.EINVAL)
		if err == nil || !strings.Contains(err.Error(), "2147483648") {
			t.Errorf("%v does not name the value", err)
		}
	}},
	{"a busy poll budget above 64 is for CAP_NET_ADMIN", func(t *testing.T) {
		p := newEpoll(t)
		busyPoll(t, p.SetBusyPoll(efd.BusyPoll{Budget: 64}))
		err := p.SetBusyPoll(efd.BusyPoll{Budget: 65})
		if err != nil && !errors.Is(err, unix.EPERM) {
			t.Errorf("SetBusyPoll: %v", err)
		}
	}},
	{"Add while others wait does not wait for them", func(t *testing.T) {
		p := newEpoll(t)
		w := park(t, callEpoll, func() { p.Wait(make([]efd.EpollEvent, 1), efd.Forever, nil) })
		e := newEventFD(t, 0, 0)
		check(t, p.AddConn(e, efd.EPOLLIN, 0))
		w.running(t)
		check(t, e.Signal())
		w.wait(t)
	}},
}

type event struct {
	events efd.EpollEvents
	data   uint64
}

// watched is an epoll with an empty eventfd whose data is 9.
func watched(t *testing.T, ev efd.EpollEvents) (*efd.Epoll, *efd.EventFD) {
	t.Helper()
	p, e := newEpoll(t), newEventFD(t, 0, 0)
	check(t, p.Add(e.FD(), ev, 9))
	return p, e
}

// events wants p to tell of exactly want, ordered by data.
func events(t *testing.T, p *efd.Epoll, want ...event) {
	t.Helper()
	room := make([]efd.EpollEvent, len(want)+2)
	n, err := p.Wait(room, 0, nil)
	check(t, err)
	got := []event{}
	for _, ev := range room[:n] {
		got = append(got, event{ev.Events(), ev.Data()})
	}
	slices.SortFunc(got, func(a, b event) int { return int(int64(a.data) - int64(b.data)) })
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(event{})); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func interest(t *testing.T, p *efd.Epoll) []efd.Interest {
	t.Helper()
	list, err := p.Interest()
	check(t, err)
	return list
}

func waitsContext(p *efd.Epoll, ctx context.Context) <-chan error {
	c := make(chan error, 1)
	go func() {
		n, err := p.WaitContext(ctx, make([]efd.EpollEvent, 1))
		if err == nil && n != 1 {
			err = errors.New("no event and no error")
		}
		c <- err
	}()
	return c
}

// noPwait2 reports whether this kernel lacks epoll_pwait2.
func noPwait2(t *testing.T) bool {
	_, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, ^uintptr(0), 0, 0, 0, 0, 0)
	return errno == unix.ENOSYS || errno == unix.EPERM
}

func busyPoll(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, unix.ENOSYS) {
		native(t, "make this ioctl")
	}
	if errors.Is(err, unix.ENOTTY) {
		t.Skip("needs EPIOCSPARAMS, Linux 6.9")
	}
	check(t, err)
}
