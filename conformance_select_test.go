//go:build linux

package efd_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var selectCases = []conformanceCase{
	{"no sets, no time", func(t *testing.T) { selects(t, nil, nil, nil, 0, 0) }},
	{"no sets, some time", func(t *testing.T) {
		atLeast(t, 2*time.Millisecond, func() { selects(t, nil, nil, nil, 2*time.Millisecond, 0) })
	}},
	{"empty sets", func(t *testing.T) { selects(t, set(t), set(t), set(t), time.Microsecond, 0) }},
	{"readable", func(t *testing.T) {
		fd := newEventFD(t, 1, 0).FD()
		r := set(t, fd)
		selects(t, r, nil, nil, efd.Forever, 1)
		has(t, r, fd)
	}},
	{"writable", func(t *testing.T) {
		fd := newEventFD(t, 0, 0).FD()
		w := set(t, fd)
		selects(t, nil, w, nil, efd.Forever, 1)
		has(t, w, fd)
	}},
	{"exceptional: urgent data", func(t *testing.T) {
		a, b := tcpPair(t)
		check(t, unix.Sendto(b, []byte{1}, unix.MSG_OOB, nil))
		x := set(t, a)
		selects(t, nil, nil, x, time.Minute, 1)
		has(t, x, a)
	}},
	{"an eventfd is never exceptional", func(t *testing.T) {
		x := set(t, newEventFD(t, 1, 0).FD())
		selects(t, nil, nil, x, 0, 0)
		has(t, x)
	}},
	{"what is not ready is cleared", func(t *testing.T) {
		ready, not := newEventFD(t, 1, 0).FD(), newEventFD(t, 0, 0).FD()
		r := set(t, ready, not)
		selects(t, r, nil, nil, efd.Forever, 1)
		has(t, r, ready)
	}},
	{"a time-out clears all", func(t *testing.T) {
		r := set(t, newEventFD(t, 0, 0).FD())
		selects(t, r, nil, nil, time.Millisecond, 0)
		has(t, r)
	}},
	{"one number in two sets counts twice", func(t *testing.T) {
		fd := newEventFD(t, 1, 0).FD()
		r, w, x := set(t, fd), set(t, fd), set(t, fd)
		selects(t, r, w, x, efd.Forever, 2)
		has(t, r, fd)
		has(t, w, fd)
		has(t, x)
	}},
	{"full: not writable", func(t *testing.T) {
		w := set(t, full(t).FD())
		selects(t, nil, w, nil, 0, 0)
	}},
	{"a write wakes the sleeper", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		r := set(t, e.FD())
		p := park(t, callPselect6, func() { selects(t, r, nil, nil, efd.Forever, 1) })
		check(t, e.Signal())
		p.wait(t)
		has(t, r, e.FD())
	}},
	{"a pipe at its end is readable", func(t *testing.T) {
		r, w := pipe(t)
		w.close()
		s := set(t, r.fd)
		selects(t, s, nil, nil, efd.Forever, 1)
	}},
	{"a pipe without a reader is writable", func(t *testing.T) {
		r, w := pipe(t)
		fill(w.fd)
		r.close()
		s := set(t, w.fd)
		selects(t, nil, s, nil, efd.Forever, 1)
	}},
	{"a regular file is readable and writable", func(t *testing.T) {
		f, err := os.Open(os.Args[0])
		check(t, err)
		defer f.Close()
		fd := int(f.Fd())
		r, w, x := set(t, fd), set(t, fd), set(t, fd)
		selects(t, r, w, x, efd.Forever, 2)
		has(t, x)
	}},
	{"numbers above 1023", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		high := highDup(t, e.FD(), 1500)
		r := set(t, e.FD(), high)
		selects(t, r, nil, nil, efd.Forever, 2)
		has(t, r, e.FD(), high)
	}},
	{"numbers above 1023, not ready", func(t *testing.T) {
		r := set(t, highDup(t, newEventFD(t, 0, 0).FD(), 1500))
		selects(t, r, nil, nil, time.Microsecond, 0)
		has(t, r)
	}},
	{"a closed number is EBADF, the sets as they were", func(t *testing.T) {
		ready, gone := newEventFD(t, 1, 0).FD(), freeNumber(t)
		r, w := set(t, ready, gone), set(t, ready)
		_, err := efd.Select(r, w, nil, efd.Forever, nil)
		wantErr(t, "Select", err, unix.EBADF)
		has(t, r, slices.Sorted(slices.Values([]int{ready, gone}))...)
		has(t, w, ready)
	}},
	{"a number above the table comes back cleared, no EBADF", func(t *testing.T) {
		native(t, "select above 1023")
		r := set(t, 1<<20)
		selects(t, r, nil, nil, 0, 0)
		has(t, r)
	}},
	{"a number above the table beside a ready one", func(t *testing.T) {
		native(t, "select above 1023")
		fd := newEventFD(t, 1, 0).FD()
		r, w := set(t, fd, 1<<20, 1<<20+63), set(t, 1<<20+1)
		selects(t, r, w, nil, efd.Forever, 1)
		has(t, r, fd)
		has(t, w)
	}},
	{"sets of unequal length", func(t *testing.T) {
		low, high := newEventFD(t, 1, 0).FD(), highDup(t, newEventFD(t, 1, 0).FD(), 700)
		r, w := set(t, low), set(t, high)
		selects(t, r, w, new(efd.FDSet), efd.Forever, 2)
		has(t, r, low)
		has(t, w, high)
	}},
	{"one set given twice is EINVAL", func(t *testing.T) {
		s, other := set(t, newEventFD(t, 1, 0).FD()), set(t)
		for _, c := range [][3]*efd.FDSet{{s, s, nil}, {s, other, s}, {nil, s, s}, {s, s, s}} {
			_, err := efd.Select(c[0], c[1], c[2], 0, nil)
			wantErr(t, "Select", err, unix.EINVAL)
		}
		equal(t, "Len", s.Len(), 1)
	}},
	{"nfds is one above the highest", func(t *testing.T) {
		high := highDup(t, newEventFD(t, 1, 0).FD(), 200)
		c := traced(t, func() { selects(t, set(t, high), nil, nil, 0, 1) })
		equal(t, "nfds", c[0].Args[0].In, "201")
	}},
	{"timeouts are not cut short", func(t *testing.T) {
		for _, d := range []time.Duration{50 * time.Microsecond, 1500001, 5 * time.Millisecond} {
			atLeast(t, d, func() { selects(t, nil, nil, nil, d, 0) })
		}
	}},
	{"a timeout of 100 days", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		p := park(t, callPselect6, func() { selects(t, set(t, e.FD()), nil, nil, 100*24*time.Hour, 1) })
		check(t, e.Signal())
		p.wait(t)
	}},
	{"a signal is no end without a mask", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		e := newEventFD(t, 0, 0)
		r := set(t, e.FD())
		p := park(t, callPselect6, func() { selects(t, r, nil, nil, time.Minute, 1) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		wait(t, c, "no signal")
		waitAsleep(t, p.tid, callPselect6)
		check(t, e.Signal())
		p.wait(t)
		has(t, r, e.FD())
	}},
	{"with a mask a signal ends the wait, the sets as they were", func(t *testing.T) {
		notified(t, unix.SIGUSR1)
		fd := newEventFD(t, 0, 0).FD()
		r := set(t, fd)
		var err error
		p := park(t, callPselect6, func() { _, err = efd.Select(r, nil, nil, time.Hour, new(efd.SigSet)) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		p.wait(t)
		interrupted(t, err, "pselect6", time.Hour)
		has(t, r, fd)
	}},
	{"a signal that the mask blocks waits", func(t *testing.T) {
		native(t, "deliver a signal that the mask of a wait held back")
		c := notified(t, unix.SIGUSR1)
		mask, err := efd.NewSigSet(unix.SIGUSR1)
		check(t, err)
		e := newEventFD(t, 0, 0)
		p := park(t, callPselect6, func() { efd.Select(set(t, e.FD()), nil, nil, efd.Forever, &mask) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGUSR1))
		waitFor(t, func() bool { return pending(p.tid, unix.SIGUSR1) }, "the signal is not pending")
		p.running(t)
		check(t, e.Signal())
		p.wait(t)
		wait(t, c, "the signal was lost")
	}},
	{"the runtime's SIGURG never ends a wait with a mask", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		var err error
		p := park(t, callPselect6, func() { _, err = efd.Select(set(t, e.FD()), nil, nil, efd.Forever, new(efd.SigSet)) })
		check(t, unix.Tgkill(os.Getpid(), p.tid, unix.SIGURG))
		waitFor(t, func() bool { return pending(p.tid, unix.SIGURG) }, "the signal is not pending")
		check(t, e.Signal())
		p.wait(t)
		check(t, err)
	}},
	{"it allocates nothing", func(t *testing.T) {
		fd := newEventFD(t, 1, 0).FD()
		r := set(t, fd)
		noAllocs(t, func() { r.Add(fd); efd.Select(r, nil, nil, 0, nil) })
	}},
}

var fdsetCases = []conformanceCase{
	{"the zero value is empty", func(t *testing.T) { has(t, new(efd.FDSet)) }},
	{"Add and Has", func(t *testing.T) { has(t, set(t, 0, 3, 63, 64, 1027), 0, 3, 63, 64, 1027) }},
	{"Add twice is once", func(t *testing.T) { has(t, set(t, 7, 7, 7), 7) }},
	{"Add of a negative number is EBADF", func(t *testing.T) {
		s := set(t)
		for _, fd := range []int{-1, -64, -1 << 31} {
			wantErr(t, "Add", s.Add(fd), unix.EBADF)
		}
		has(t, s)
	}},
	{"Add of a number that none can have is EBADF", func(t *testing.T) { wantErr(t, "Add", set(t).Add(1<<31-1), unix.EBADF) }},
	{"Remove", func(t *testing.T) {
		s := set(t, 1, 2, 64)
		for _, fd := range []int{2, 5, 64, 9999, -1} {
			s.Remove(fd)
		}
		has(t, s, 1)
	}},
	{"Has of what cannot be", func(t *testing.T) {
		s := set(t, 0, 63)
		for _, fd := range []int{-1, -64, 64, 1 << 30} {
			equal(t, "Has", s.Has(fd), false)
		}
	}},
	{"Clear", func(t *testing.T) {
		s := set(t, 1, 5000)
		s.Clear()
		has(t, s)
		check(t, s.Add(4999))
		has(t, s, 4999)
	}},
	{"All can be left early", func(t *testing.T) {
		var got []int
		for fd := range set(t, 1, 2, 3).All() {
			if got = append(got, fd); fd == 2 {
				break
			}
		}
		equal(t, "seen", len(got), 2)
	}},
	{"String is strace's", func(t *testing.T) {
		equal(t, "String", set(t, 1027, 3, 0).String(), "[0 3 1027]")
		equal(t, "String", set(t).String(), "[]")
	}},
	{"as a map of numbers", func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		s, model := set(t), map[int]bool{}
		for range 3000 {
			fd := rnd.IntN(300)
			if rnd.IntN(2) == 0 {
				check(t, s.Add(fd))
				model[fd] = true
			} else {
				s.Remove(fd)
				delete(model, fd)
			}
		}
		var want []int
		for fd := range model {
			want = append(want, fd)
		}
		slices.Sort(want)
		has(t, s, want...)
	}},
}

func set(t *testing.T, fds ...int) *efd.FDSet {
	t.Helper()
	s := new(efd.FDSet)
	for _, fd := range fds {
		check(t, s.Add(fd))
	}
	return s
}

// has wants s to hold fds, given in order.
func has(t *testing.T, s *efd.FDSet, fds ...int) {
	t.Helper()
	if got := slices.Collect(s.All()); !slices.Equal(got, fds) || s.Len() != len(fds) {
		t.Errorf("set has %v, Len %d; want %v", got, s.Len(), fds)
	}
	for _, fd := range fds {
		if !s.Has(fd) {
			t.Errorf("Has(%d) is false", fd)
		}
	}
}

func selects(t *testing.T, r, w, x *efd.FDSet, timeout time.Duration, n int) {
	t.Helper()
	if got, err := efd.Select(r, w, x, timeout, nil); got != n || err != nil {
		t.Errorf("Select = %d, %v; want %d", got, err, n)
	}
}

// highDup is a duplicate of fd with a number of low or more.
func highDup(t *testing.T, fd, low int) int {
	t.Helper()
	if low >= 1024 {
		native(t, "select above 1023")
	}
	var lim unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	if int(lim.Cur) <= low+8 {
		t.Skipf("needs RLIMIT_NOFILE above %d, is %d", low, lim.Cur)
	}
	return own2(t)(unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, low)).fd
}
