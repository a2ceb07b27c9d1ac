//go:build linux

package efd

import (
	"context"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ReadContext is Read that waits until the counter is above 0 or ctx is done.
// The goroutine waits in Go's poller and holds no thread. The end of one wait
// leaves the others alone. If ctx is done already, the counter is not touched. A
// deadline of ctx goes through Go's timers, and is kept to about a millisecond.
//
// The first wait that has to sleep registers the descriptor with the poller, for
// as long as the handle lives: two system calls by Go's runtime, which tracers
// do not see. If the registration fails, the error is that of epoll_ctl(2), and
// the next wait tries again.
//
// Other holders of the open file may clear O_NONBLOCK. That ends neither the
// effect of ctx nor that of Close: once others can know the descriptor (see
// [EventFD]), the read is preadv2(2) with RWF_NOWAIT, or, before Linux 5.8, a
// read(2) after ppoll(2) has shown that it does not sleep. There, with O_NONBLOCK
// cleared, another reader that takes the counter in between makes it sleep.
//
// Errors: ctx.Err(); EINVAL, the handle is [Blocking]; ENOSPC and ENOMEM as in
// epoll_ctl(2); [os.ErrClosed].
func (e *EventFD) ReadContext(ctx context.Context) (uint64, error) {
	if e == nil {
		return 0, os.ErrInvalid
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !e.d.acquire() {
		return 0, os.ErrClosed
	}
	v, err := e.readContext(ctx)
	e.d.release()
	return v, err
}

func (e *EventFD) readContext(ctx context.Context) (uint64, error) {
	if e.d.flags.Load()&flagBlocking != 0 {
		return 0, errBlockingCtx
	}
	p := e.d.poller()
	if p == nil || p.reader.triesFirst() {
		if v, errno := e.readNow(); errno != unix.EAGAIN {
			return v, opRead.result(errno)
		}
	}
	if p == nil {
		var err error
		switch p, err = e.poller(); err {
		case nil:
		case errNotNonblock:
			var v uint64
			var errno unix.Errno
			err := e.waitApart(ctx, EPOLLIN, func() bool {
				v, errno = e.readNow()
				return errno != unix.EAGAIN
			})
			if err != nil {
				return 0, err
			}
			return v, opRead.result(errno)
		default:
			return 0, err
		}
	}
	s := &p.reader
	if err := p.enter(ctx, s); err != nil {
		return 0, err
	}
	err := p.run(ctx, s)
	v, errno := s.value, s.errno
	s.leave()
	if err != nil {
		return 0, err
	}
	return v, opRead.result(errno)
}

// WriteContext is Write that waits until v fits below [MaxCount] or ctx is
// done, in the way of ReadContext. It does not wait for another WriteContext
// whose value does not fit. The kernel has no write that ignores a cleared
// O_NONBLOCK. So if another holder has cleared it, WriteContext reads from /proc
// whether v fits before it writes, and another writer that fills the counter in
// between makes the write sleep.
//
// Errors: ctx.Err(); EINVAL, v is above MaxCount or the handle is [Blocking];
// ENOSPC and ENOMEM as in epoll_ctl(2); [os.ErrClosed].
func (e *EventFD) WriteContext(ctx context.Context, v uint64) error {
	if e == nil {
		return os.ErrInvalid
	}
	if v > MaxCount {
		return errTooMuch
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !e.d.acquire() {
		return os.ErrClosed
	}
	err := e.writeContext(ctx, v)
	e.d.release()
	return err
}

func (e *EventFD) writeContext(ctx context.Context, v uint64) error {
	if e.d.flags.Load()&flagBlocking != 0 {
		return errBlockingCtx
	}
	if errno := e.writeNow(v); errno != unix.EAGAIN {
		return opWrite.result(errno)
	}
	p, err := e.poller()
	switch err {
	case nil:
		return p.writes.wait(ctx, p, v)
	case errNotNonblock:
		var errno unix.Errno
		err := e.waitApart(ctx, EPOLLOUT, func() bool {
			errno = e.writeNow(v)
			return errno != unix.EAGAIN
		})
		if err != nil {
			return err
		}
		return opWrite.result(errno)
	}
	return err
}

// readNow is a read that does not sleep, even if others change O_NONBLOCK.
func (e *EventFD) readNow() (v uint64, errno unix.Errno) {
	if e.d.flags.Load()&flagShared == 0 {
		return e.read()
	}
	raceRelease(&raceTaken)
	for {
		_, errno = e.readShared(&v)
		if errno != unix.EINTR {
			break
		}
	}
	if errno == 0 {
		raceAcquire(&raceWritten)
	}
	return v, errno
}

func (e *EventFD) readShared(v *uint64) (int, unix.Errno) {
	fd := int(e.d.fd)
	// Only read synchronises with an os.File's write for the race detector.
	if !raceEnabled && !noNowait.Load() {
		n, errno := callPreadv2(fd, v)
		switch errno {
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.EPERM, unix.EINVAL:
			noNowait.Store(true)
		default:
			return n, errno
		}
	}
	if !ready(fd, POLLIN) {
		return -1, unix.EAGAIN
	}
	return callRead(fd, v, true)
}

// writeNow is a write that does not sleep, as far as the kernel allows.
func (e *EventFD) writeNow(v uint64) unix.Errno {
	if e.d.flags.Load()&flagShared == 0 || nonblocking(int(e.d.fd)) {
		return e.write(v)
	}
	if !ready(int(e.d.fd), POLLOUT) {
		return unix.EAGAIN
	}
	// Writable is a counter that has room for 1.
	if info, err := readEventFDInfo("EventFD.WriteContext", int(e.d.fd)); v > 1 && err == nil && info.Count > MaxCount-v {
		return unix.EAGAIN
	}
	return e.write(v)
}

// nonblocking reports whether the open file has O_NONBLOCK.
func nonblocking(fd int) bool {
	fl, errno := callFcntl(fd, unix.F_GETFL, 0)
	return errno == 0 && fl&unix.O_NONBLOCK != 0
}

func ready(fd int, events PollEvents) bool {
	n, err := Poll([]PollFD{{FD: int32(fd), Events: events}}, 0, nil)
	return err != nil || n > 0
}

// waitApart waits until try reports true. It is for a handle that the runtime's
// poller does not take as it lacks O_NONBLOCK: the poller takes an epoll of the
// wait's own.
func (e *EventFD) waitApart(ctx context.Context, events EpollEvents, try func() bool) error {
	p, err := NewEpoll()
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.AddConn(e, events|EPOLLET, 0); err != nil {
		return err
	}
	w := apart{p}
	if !e.d.watch(w) {
		return os.ErrClosed
	}
	defer e.d.unwatch(w)
	var ev [1]EpollEvent
	for !try() {
		if _, err := p.WaitContext(ctx, ev[:]); err != nil {
			return err
		}
	}
	return nil
}

// apart ends a waitApart when the handle closes.
type apart struct{ p *Epoll }

func (w apart) closing(*descriptor) { w.p.Close() }
func (w apart) gone() bool          { return false }

func (e *EventFD) poller() (*poller, error) {
	if p := e.d.poller(); p != nil {
		return p, nil
	}
	if e.d.flags.Load()&flagBlocking != 0 {
		return nil, errBlockingCtx
	}
	return e.d.getPoller(e.setupPoller)
}

func (e *EventFD) setupPoller(p *poller) {
	r, w := &p.reader, &p.writes
	r.try = func(uintptr) bool {
		r.value, r.errno = e.readNow()
		return r.errno != unix.EAGAIN
	}
	w.write = e.writeNow
	p.writer.try = func(uintptr) bool { return w.flush(w.driver) }
}

// writeQueue has the WriteContexts of a handle that wait for room. One of them
// is in the poller, and after each readiness tries the values of all.
type writeQueue struct {
	write  func(uint64) unix.Errno
	driver *pendingWrite // of the one that is in the poller

	mu   sync.Mutex
	list []*pendingWrite // in the order in which they came
	free []*pendingWrite
}

// pendingWrite is one WriteContext that waits.
type pendingWrite struct {
	value uint64
	errno unix.Errno
	done  bool
	ended chan struct{} // receives when done
}

// wait writes v once it fits.
func (q *writeQueue) wait(ctx context.Context, p *poller, v uint64) error {
	w := q.add(v)
	err := q.drive(ctx, p, w)
	return q.remove(w, err)
}

// drive waits until w is done, in the netpoller if no other goroutine is there.
func (q *writeQueue) drive(ctx context.Context, p *poller, w *pendingWrite) error {
	s := &p.writer
	select {
	case s.turn <- struct{}{}:
	default:
		// The one in the poller may have tried the values before w was among them.
		if q.flush(w) {
			return nil
		}
		select {
		case s.turn <- struct{}{}:
		case <-w.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return os.ErrClosed
		}
	}
	defer s.leave()
	if p.d.closed() {
		return os.ErrClosed
	}
	q.driver = w
	return p.run(ctx, s)
}

func (q *writeQueue) add(v uint64) (w *pendingWrite) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.free); n > 0 {
		w, q.free = q.free[n-1], q.free[:n-1]
	} else {
		w = &pendingWrite{ended: make(chan struct{}, 1)}
	}
	w.value, w.errno, w.done = v, 0, false
	q.list = append(q.list, w)
	return w
}

// flush tries every value that waits, and reports whether w is done.
func (q *writeQueue) flush(w *pendingWrite) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.list[:0]
	for _, x := range q.list {
		if x.errno = q.write(x.value); x.errno == unix.EAGAIN {
			left = append(left, x)
			continue
		}
		x.done = true
		x.ended <- struct{}{}
	}
	clear(q.list[len(left):])
	q.list = left
	return w == nil || w.done
}

// remove ends w, whose wait ended in err. A completed write is no error.
func (q *writeQueue) remove(w *pendingWrite, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.done {
		err = opWrite.result(w.errno)
		select {
		case <-w.ended:
		default: // received by drive
		}
	} else {
		for i, x := range q.list {
			if x == w {
				q.list = append(q.list[:i], q.list[i+1:]...)
				break
			}
		}
	}
	q.free = append(q.free, w)
	return err
}
