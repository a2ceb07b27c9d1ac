//go:build linux

package efd

import (
	"context"
	"math"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errNoRoom = badArg(unix.EINVAL, "Epoll.Wait: events has no room")

// checkRoom refuses buffers to which the kernel stores no events.
func checkRoom(events []EpollEvent) error {
	switch {
	case len(events) == 0:
		return errNoRoom
	case len(events) > maxEpollEvents:
		return badArg(unix.EINVAL, "Epoll.Wait: events has room for %d: want at most %d", len(events), maxEpollEvents)
	}
	return nil
}

// Wait waits for events, stores as many as there is room for, and returns their
// number. n is 0 when the timeout expires. Timeout and mask are as in [Poll]. A
// running Wait also returns events of fds that Add registers during it.
//
// It is one epoll_pwait(2), repeated with the time left if a signal ended
// it. A limit that is no whole number of milliseconds, or above 24.8 days, is
// epoll_pwait2(2). On kernels before 5.11, and under filters that refuse that
// call, such a limit is rounded up to the next millisecond. With timeout 0 the
// kernel looks for no signal, so that a pending one does not end it. With a mask
// the kernel has SIGSTOP and SIGCONT end it too, though no handler runs.
//
// Close and Wake end it by an eventfd of the package's, which NewEpoll makes. As
// long as no descriptor was left for that, a Wait that sleeps makes a call every
// 10 milliseconds.
//
// Errors: EINVAL, events has no room, or more than the kernel takes; [ErrWoken];
// *[InterruptedError]; [os.ErrClosed].
func (p *Epoll) Wait(events []EpollEvent, timeout time.Duration, mask *SigSet) (n int, err error) {
	if err := p.acquire(); err != nil {
		return 0, err
	}
	if timeout != 0 {
		p.begin(&p.wake.sleepers)
	}
	if err = p.mayWait(events); err == nil {
		var buf SigSet
		w := epollWait{timeout: timeout, mask: mask, blocked: waitMask(mask, &buf)}
		if timeout > 0 {
			w.start = monotonic()
		}
		// Nothing is between this function and the call: to return through more of
		// them costs as much as the rest.
		call, errno := opEpollPwait, unix.Errno(0)
		if msec, whole := wholeMsec(timeout); !whole || timeout != 0 && !alwaysReady.has.Load() {
			n, call, errno = p.waitStep(events, timeout, w.blocked)
		} else if tracing.Load() == nil {
			n, errno = sysEpollPwait(int(p.d.fd), unsafe.SliceData(events), len(events), uintptr(msec), w.blocked)
		} else {
			n, errno = callEpollPwait(int(p.d.fd), events, msec, w.blocked)
		}
		if errno != 0 || p.file.hasWake.Load() {
			n, err = p.waitOn(events, &w, n, call, errno)
		}
	}
	if n > 0 {
		raceSeen()
	}
	if timeout != 0 {
		p.end(&p.wake.sleepers)
	}
	if p.d.closed() {
		n, err = 0, os.ErrClosed
	}
	p.d.release()
	return n, err
}

// noPwait2 is set once the kernel has refused epoll_pwait2, which is there
// since Linux 5.11. Old seccomp filters say EPERM to it.
var noPwait2 atomic.Bool

const (
	longestPwait = math.MaxInt32 * time.Millisecond
	// unguardedStep bounds one sleep of a wait that cannot be woken.
	unguardedStep = 10 * time.Millisecond
	// lookAgain is how often a wait without time looks on after it saw wake entries
	// alone: they may have taken the room of an event.
	lookAgain = 4
)

// epollWait is the state of a wait that takes several calls.
type epollWait struct {
	timeout, start time.Duration
	mask, blocked  *SigSet
}

// left is the remaining time.
func (w *epollWait) left() time.Duration {
	if w.timeout <= 0 {
		return w.timeout
	}
	return max(0, w.timeout-(monotonic()-w.start))
}

// mayWait reports why a wait is not to begin.
func (p *Epoll) mayWait(events []EpollEvent) error {
	if err := checkRoom(events); err != nil {
		return err
	}
	switch {
	case p.d.closed(): // perhaps before this wait was counted: then it is not woken
		return os.ErrClosed
	case p.wake.woken.Load() && p.takeWake():
		return ErrWoken
	}
	return nil
}

// waitOn takes in the result of a wait's call, and makes more of them until the
// wait is over.
func (p *Epoll) waitOn(events []EpollEvent, w *epollWait, n int, call op, errno unix.Errno) (int, error) {
	for left, looks := w.timeout, 0; ; {
		if errno == 0 {
			if m := p.sift(events[:n]); m > 0 || n == 0 {
				return m, nil
			}
			if p.takeWake() {
				return 0, ErrWoken
			}
			if looks++; left == 0 && looks == lookAgain {
				return 0, nil
			}
		}
		left = w.left()
		switch {
		case p.d.closed():
			return 0, os.ErrClosed
		case errno == 0, errno == errMore, errno == unix.EINTR && w.mask == nil:
		case errno == unix.EINTR:
			return 0, &InterruptedError{opNames[call], left}
		case call == opEpollPwait2 && (errno == unix.ENOSYS || errno == unix.EPERM):
			noPwait2.Store(true)
		default:
			return 0, call.fail(errno)
		}
		if p.wake.woken.Load() && p.takeWake() {
			return 0, ErrWoken
		}
		n, call, errno = p.waitStep(events, left, w.blocked)
	}
}

// errMore is a sentinel outside the errno range: the kernel's timeout limit
// expired before the caller's.
const errMore unix.Errno = 1 << 20

// waitStep makes the call that keeps to left, or to a part of it.
func (p *Epoll) waitStep(events []EpollEvent, left time.Duration, blocked *SigSet) (n int, call op, errno unix.Errno) {
	if left == 0 || hasAlwaysReady() {
		return p.waitOnce(events, left, blocked)
	}
	step := unguardedStep
	if left > 0 {
		step = min(step, left)
	}
	n, call, errno = p.waitOnce(events, step, blocked)
	if errno == 0 && n == 0 && step != left {
		errno = errMore
	}
	return n, call, errno
}

// waitOnce makes the call that keeps to left.
func (p *Epoll) waitOnce(events []EpollEvent, left time.Duration, blocked *SigSet) (n int, call op, errno unix.Errno) {
	msec, whole := wholeMsec(left)
	if !whole && !noPwait2.Load() {
		var ts timespec
		n, errno = callEpollPwait2(int(p.d.fd), events, ts.set(left), blocked)
		return n, opEpollPwait2, errno
	}
	if !whole {
		msec = ceilMsec(left)
	}
	n, errno = callEpollPwait(int(p.d.fd), events, msec, blocked)
	if errno == 0 && n == 0 && left > longestPwait {
		errno = errMore
	}
	return n, opEpollPwait, errno
}

// wholeMsec is d as epoll_pwait can keep it, and whether it can.
func wholeMsec(d time.Duration) (msec int32, whole bool) {
	if d < 0 {
		return -1, true
	}
	n := d / time.Millisecond
	return int32(n), n*time.Millisecond == d && n <= math.MaxInt32
}

// ceilMsec is d in milliseconds, rounded up, as far as epoll_pwait goes.
func ceilMsec(d time.Duration) int32 {
	return int32((min(d, longestPwait) + time.Millisecond - 1) / time.Millisecond)
}

// WaitContext is Wait until ctx is done. The goroutine waits in Go's poller and
// holds no thread. The end of one wait leaves the others alone. If ctx is
// done already, no event is taken. A deadline of ctx is kept to about a
// millisecond.
//
// It looks once, and waits if there is nothing. The first wait sets O_NONBLOCK,
// which an epoll has no other use for, and puts the epoll into that of Go's
// runtime: one level of nesting more, so that ELOOP comes one earlier. The runtime
// then polls the members of the epoll on its own threads, with calls that do not
// reach its scheduler. So a member whose poll sleeps, such as a FUSE file, holds up
// the program, and one that the program serves itself hangs it: use Wait for these.
//
// Errors: ctx.Err(); EINVAL as Wait; [ErrWoken]; [os.ErrClosed].
func (p *Epoll) WaitContext(ctx context.Context, events []EpollEvent) (int, error) {
	if p == nil {
		return 0, os.ErrInvalid
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := p.acquire(); err != nil {
		return 0, err
	}
	p.begin(&p.wake.parked)
	n, err := p.waitContext(ctx, events)
	p.end(&p.wake.parked)
	p.d.release()
	return n, err
}

func (p *Epoll) waitContext(ctx context.Context, events []EpollEvent) (int, error) {
	if err := checkRoom(events); err != nil {
		return 0, err
	}
	n, err := p.look(events)
	if n == 0 && err == nil {
		n, err = p.park(ctx, events)
	}
	if p.d.closed() {
		return 0, os.ErrClosed
	}
	if n > 0 {
		raceSeen()
	}
	return n, err
}

// park waits in Go's poller.
func (p *Epoll) park(ctx context.Context, events []EpollEvent) (int, error) {
	g, err := p.poller()
	if err != nil {
		return 0, err
	}
	s := &g.reader
	if err := g.enter(ctx, s); err != nil {
		return 0, err
	}
	s.events = events
	err = g.run(ctx, s)
	n, tryErr := s.n, s.err
	s.leave()
	if err == nil {
		err = tryErr
	}
	if err != nil {
		n = 0
	}
	return n, err
}

// look takes the ready events.
func (p *Epoll) look(events []EpollEvent) (int, error) {
	if err := p.mayWait(events); err != nil {
		return 0, err
	}
	n, errno := callEpollPwait(int(p.d.fd), events, 0, nil)
	return p.waitOn(events, &epollWait{}, n, opEpollPwait, errno)
}

func (p *Epoll) poller() (*poller, error) {
	if g := p.d.poller(); g != nil {
		return g, nil
	}
	// The runtime netpoller takes only non-blocking files. An epoll's own calls
	// ignore the flag.
	if _, errno := callFcntl(int(p.d.fd), unix.F_SETFL, unix.O_RDWR|unix.O_NONBLOCK); errno != 0 {
		return nil, opFcntl.fail(errno)
	}
	return p.d.getPoller(p.setupPoller)
}

func (p *Epoll) setupPoller(g *poller) {
	s := &g.reader
	s.try = func(uintptr) bool {
		s.n, s.err = p.look(s.events)
		return s.n > 0 || s.err != nil
	}
}
