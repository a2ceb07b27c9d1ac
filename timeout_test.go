//go:build linux

package efd_test

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// anyWait is one of the waits of the package, on an eventfd that is not readable.
type anyWait struct {
	name  string
	calls []int
	do    func(timeout time.Duration, mask *efd.SigSet) (int, error)
}

// waitsOn has every wait there is, for e.
func waitsOn(t testing.TB, e *efd.EventFD) []anyWait {
	p := newEpoll(t)
	if err := p.AddConn(e, efd.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	s := newPollSet(t, efd.POLLIN, e)
	return []anyWait{
		{"Poll", callPpoll, func(timeout time.Duration, mask *efd.SigSet) (int, error) {
			return efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, timeout, mask)
		}},
		{"Select", callPselect6, func(timeout time.Duration, mask *efd.SigSet) (int, error) {
			var r efd.FDSet
			r.Add(e.FD())
			return efd.Select(&r, nil, nil, timeout, mask)
		}},
		{"Epoll.Wait", callEpoll, func(timeout time.Duration, mask *efd.SigSet) (int, error) {
			return p.Wait(make([]efd.EpollEvent, 1), timeout, mask)
		}},
		{"Epoll.Wait without epoll_pwait2", callEpoll, func(timeout time.Duration, mask *efd.SigSet) (n int, err error) {
			efd.WithoutPwait2(func() { n, err = p.Wait(make([]efd.EpollEvent, 1), timeout, mask) })
			return n, err
		}},
		{"PollSet.Wait", callPpoll, func(timeout time.Duration, mask *efd.SigSet) (int, error) { return s.Wait(timeout, mask) }},
	}
}

func TestTimeoutsAreNeverCutShort(t *testing.T) {
	for _, w := range waitsOn(t, newEventFD(t, 0, 0)) {
		t.Run(w.name, func(t *testing.T) {
			for _, limit := range []time.Duration{0, 1, 200 * time.Microsecond, 1500 * time.Microsecond, 3*time.Millisecond + 1} {
				start := time.Now()
				n, err := w.do(limit, nil)
				if took := time.Since(start); n != 0 || err != nil || took < limit {
					t.Errorf("limit %v: %d, %v after %v", limit, n, err, took)
				}
			}
		})
	}
}

// Milliseconds in an int end at 24.8 days.
func TestLongTimeouts(t *testing.T) {
	const day = 24 * time.Hour
	for _, limit := range []time.Duration{25 * day, 30 * day, 50 * day, 1<<63 - 1, efd.Forever, -1 << 63} {
		e := newEventFD(t, 0, 0)
		for _, w := range waitsOn(t, e) {
			tid, wait := inThread(func() {
				if n, err := w.do(limit, nil); n != 1 || err != nil {
					t.Errorf("%s, limit %v: %d, %v; want 1", w.name, limit, n, err)
				}
			})
			waitAsleep(t, tid, w.calls)
			e.Signal()
			wait()
			e.Read()
		}
	}
}

// epoll_pwait2 is made where it is needed and nowhere else.
func TestPwait2OnlyWhereNeeded(t *testing.T) {
	if noPwait2(t) {
		t.Skip("needs epoll_pwait2, Linux 5.11")
	}
	e := newEventFD(t, 1, 0)
	p := newEpoll(t)
	if err := p.AddConn(e, efd.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	events := make([]efd.EpollEvent, 1)
	for _, c := range []struct {
		limit time.Duration
		want  string
	}{
		{0, "epoll_pwait"}, {efd.Forever, "epoll_pwait"}, {time.Millisecond, "epoll_pwait"}, {24 * 24 * time.Hour, "epoll_pwait"},
		{1, "epoll_pwait2"}, {time.Millisecond + 1, "epoll_pwait2"}, {25 * 24 * time.Hour, "epoll_pwait2"},
	} {
		calls := traced(t, func() { p.Wait(events, c.limit, nil) })
		if len(calls) != 1 || calls[0].Syscall != c.want {
			t.Errorf("limit %v: %v, want one %s", c.limit, texts(calls), c.want)
		}
		efd.WithoutPwait2(func() {
			calls = traced(t, func() { p.Wait(events, c.limit, nil) })
			if len(calls) != 1 || calls[0].Syscall != "epoll_pwait" {
				t.Errorf("without epoll_pwait2, limit %v: %v, want one epoll_pwait", c.limit, texts(calls))
			}
		})
	}
}

// sendUntil sends sig to the thread tid, again and again, while it sleeps in
// one of calls and until done is closed.
func sendUntil(t testing.TB, done <-chan struct{}, tid int, sig unix.Signal, calls []int) {
	for {
		select {
		case <-done:
			return
		default:
		}
		if asleep(tid, calls) {
			if err := unix.Tgkill(unix.Getpid(), tid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				t.Error(err)
			}
		}
		runtime.Gosched()
	}
}

// The runtime's SIGURG ends no wait and makes none longer than it should be.
func TestPreemptionSignalEndsNoWait(t *testing.T) {
	none := efd.SigSet{}
	for _, w := range waitsOn(t, newEventFD(t, 0, 0)) {
		for _, mask := range []*efd.SigSet{nil, &none} {
			t.Run(w.name, func(t *testing.T) {
				const limit = 40 * time.Millisecond
				done := make(chan struct{})
				tid, wait := inThread(func() {
					defer close(done)
					start := time.Now()
					n, err := w.do(limit, mask)
					took := time.Since(start)
					if n != 0 || err != nil || took < limit {
						t.Errorf("%d, %v after %v; want a time-out after %v", n, err, took, limit)
					}
					if took > limit+20*time.Second {
						t.Errorf("took %v: signals start the time anew", took)
					}
				})
				sendUntil(t, done, tid, unix.SIGURG, w.calls)
				wait()
			})
		}
	}
}
