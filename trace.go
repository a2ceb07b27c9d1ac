//go:build linux

package efd

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Call is one system call that this package made.
//
// String prints it letter for letter as strace 6.1, Debian 12's, prints it
// with -a1, which leaves out the blanks that align results. Two things differ
// where a program runs under strace: the values of arguments that strace
// prints as addresses, and the kernel's own restart codes, which user space
// never sees: strace's "? ERESTARTNOHAND (To be restarted if no handler)" and
// its like are EINTR here.
type Call struct {
	Syscall  string        // as strace names it: "ppoll", "epoll_pwait2"
	Args     []Arg         // in order
	Ret      int           // -1 if Errno is set
	Errno    unix.Errno    // 0: success
	TID      int           // the thread that made the call
	FD       int           // the descriptor that the call is for, the epoll of an epoll_ctl; -1: none, or several
	Start    time.Time     // with monotonic clock reading
	Mono     time.Duration // CLOCK_MONOTONIC at the start, as Wake.Time
	Duration time.Duration // of the call alone

	path string // of the catalogue
}

// Arg is one argument of a [Call].
type Arg struct {
	Name string // as the manual page has it
	In   string // the argument's contents before the call, as strace prints them
	Out  string // the contents after the call, "" if the call left none
}

// tracing is nil while there is no tracer.
var tracing atomic.Pointer[tracers]

// tracers is never changed: AddTracer and remove put another in its place.
type tracers struct{ list []*tracer }

type tracer struct {
	fn       func(*Call)
	filtered bool // by of
	of       []syscall.Conn
}

var tracersMu sync.Mutex

// AddTracer registers fn, which is called after every system call that the
// package makes from now on, those repeated after a signal included. It needs
// no privileges. fn runs on the goroutine that made the call, which stays
// locked to its thread until fn returns, and may run on many concurrently. It
// may keep the Call. Calls that it makes itself are not traced; it must neither
// use the handle that the call was made for nor panic, since it is called from
// inside the method.
//
// The close of a descriptor by package os, which owns it after a wait in Go's
// poller, is among the calls: its Duration includes the removal from the poller.
// The calls by which Go's runtime registers, waits and removes are not. While
// there are tracers, each call costs a gettid and a clock_gettime, and a close a
// readlinkat before it, which are not reported.
//
// remove unregisters fn. Calls in progress on other goroutines may still be
// reported. A second remove does nothing. A nil fn panics.
func AddTracer(fn func(*Call)) (remove func()) {
	if fn == nil {
		panic("efd: AddTracer: fn is nil")
	}
	return addTracer(&tracer{fn: fn})
}

// AddTracerOf is [AddTracer] for the calls of conns alone: those on the
// descriptor of one, a [Poll], [Select] or [PollSet.Wait] with it among others,
// and an epoll_ctl by which it is registered. The waits of an [Epoll] are calls
// of the Epoll, which may be one of conns. The calls of others cost a comparison
// each. Without conns none is reported.
//
// An [EventFD] or Epoll is meant itself, its close included, and not another file that
// has its number later. It stays reachable until remove. Any other Conn is asked
// for its number at each call, and an [FD] is the number. A nil fn panics, and so
// does a nil Conn.
func AddTracerOf(fn func(*Call), conns ...syscall.Conn) (remove func()) {
	if fn == nil {
		panic("efd: AddTracerOf: fn is nil")
	}
	for _, c := range conns {
		if errors.Is(checkKey(c), errNilConn) {
			panic("efd: AddTracerOf: a Conn is nil")
		}
	}
	return addTracer(&tracer{fn: fn, filtered: true, of: slices.Clone(conns)})
}

func addTracer(t *tracer) (remove func()) {
	changeTracers(func(list []*tracer) []*tracer { return append(list, t) })
	return func() {
		changeTracers(func(list []*tracer) []*tracer {
			return slices.DeleteFunc(list, func(x *tracer) bool { return x == t })
		})
	}
}

func changeTracers(change func([]*tracer) []*tracer) {
	tracersMu.Lock()
	defer tracersMu.Unlock()
	if report == nil {
		findClock()
		report = reportAll
	}
	var list []*tracer
	if now := tracing.Load(); now != nil {
		list = slices.Clone(now.list)
	}
	if list = change(list); len(list) == 0 {
		tracing.Store(nil)
		return
	}
	tracing.Store(&tracers{list})
}

// wants reports whether r is a call of t's conns.
func (t *tracer) wants(r *record) bool {
	return slices.ContainsFunc(t.of, func(c syscall.Conn) bool {
		switch c := c.(type) {
		case *EventFD:
			return r.isOf(&c.d)
		case *Epoll:
			return r.isOf(&c.d)
		case FD:
			return r.has(int(c))
		}
		of := false
		control(c, func(fd uintptr) { of = r.has(int(fd)) })
		return of
	})
}

// isOf reports whether the call is of d, whose number is its own until the close.
func (r *record) isOf(d *descriptor) bool {
	return r.closes == d || d.state.Load()&isLive != 0 && r.has(int(d.fd))
}

// has reports whether fd is among the descriptors of the call.
func (r *record) has(fd int) bool {
	switch r.kind {
	case kindPpoll:
		return slices.ContainsFunc(r.before.fds, func(f PollFD) bool { return int(f.FD) == fd })
	case kindPselect6:
		return slices.ContainsFunc(r.before.sets[:], func(set []fdWord) bool {
			return word(set, fd/fdWordBits)&(1<<(fd%fdWordBits)) != 0
		})
	case kindEpollCtl:
		return fd == r.fd() || fd == int(int32(r.arg[2]))
	case kindEventfd2, kindEpollCreate1, kindOpenat:
		return fd == r.ret
	}
	return fd == r.fd()
}

// inTracer has the threads on which a tracer runs.
var inTracer threadSet

type threadSet struct {
	mu   sync.Mutex
	tids map[int]struct{}
}

// enter reports false if tid is in the set already.
func (s *threadSet) enter(tid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tids[tid]; ok {
		return false
	}
	if s.tids == nil {
		s.tids = map[int]struct{}{}
	}
	s.tids[tid] = struct{}{}
	return true
}

func (s *threadSet) leave(tid int) {
	s.mu.Lock()
	delete(s.tids, tid)
	s.mu.Unlock()
}
