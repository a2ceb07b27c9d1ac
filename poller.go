//go:build linux

package efd

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// poller is a descriptor's registration with the runtime netpoller, in which
// goroutines wait without a thread. The first wait makes it. From then on file
// owns the fd.
type poller struct {
	d      *descriptor
	file   *os.File
	ended  chan struct{} // closed when the handle closes
	reader waitSide
	writer waitSide
	writes writeQueue // of an EventFD
}

// waitSide is one of the two directions of a poller. The deadline, by which
// waits are cancelled, belongs to the file. So one goroutine at a time is in
// the poller, the one that put its token into turn. The others wait for their turn.
type waitSide struct {
	wait   func(func(uintptr) bool) error
	expire func(now bool) // sets the deadline to one that has passed, or clears it
	turn   chan struct{}
	try    func(uintptr) bool // a call that does not sleep, on the operands below; false: wait and call again
	step   func(uintptr) bool // tryArmed
	slept  atomic.Bool        // the last wait slept

	// Of the goroutine that has the turn.
	ctx    any // a context.Context: by that type, the time zones would be in every program
	armed  bool
	disarm func()
	value  uint64
	events []EpollEvent
	n      int
	errno  unix.Errno
	err    error
}

var longAgo = time.Unix(1, 0)

// deadline is one that has passed, or none.
func deadline(passed bool) time.Time {
	if passed {
		return longAgo
	}
	return time.Time{}
}

// poller is d's registration with the runtime's poller, nil before the first
// wait.
func (d *descriptor) poller() *poller {
	if x := d.extra.Load(); x != nil {
		return x.poller.Load()
	}
	return nil
}

// errNotNonblock is the error of getPoller for a descriptor without O_NONBLOCK.
var errNotNonblock = errors.New("efd: another holder of the open file cleared O_NONBLOCK")

// getPoller registers d, whose fd the caller has acquired, with the runtime's
// poller unless it is registered. A failure is not remembered.
func (d *descriptor) getPoller(setup func(*poller)) (*poller, error) {
	x := d.getExtra()
	if p := x.poller.Load(); p != nil {
		return p, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.poller.Load(); p != nil {
		return p, nil
	}
	file, err := d.register(x)
	if err != nil {
		return nil, err
	}
	p := &poller{d: d, file: file, ended: make(chan struct{})}
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	p.reader.init(conn.Read, func(now bool) { file.SetReadDeadline(deadline(now)) })
	p.writer.init(conn.Write, func(now bool) { file.SetWriteDeadline(deadline(now)) })
	setup(p)
	x.poller.Store(p)
	return p, nil
}

func (s *waitSide) init(wait func(func(uintptr) bool) error, expire func(now bool)) {
	s.wait, s.expire, s.turn = wait, expire, make(chan struct{}, 1)
	s.step = s.tryArmed
}

// abandoned keeps files from their cleanup, which would close a fd that another
// file owns by now.
var abandoned struct {
	sync.Mutex
	files []*os.File
}

// register has an os.File own d's fd, which registers it with the runtime's
// poller. x.mu is held.
//
// A file whose registration failed owns the fd too, and cannot give it back. It
// stays until d closes, or another one succeeds.
func (d *descriptor) register(x *extra) (*os.File, error) {
	const attempts = 3 // a failure that the probe does not find has passed
	for range attempts {
		if d.closed() {
			return nil, os.ErrClosed
		}
		if !nonblocking(int(d.fd)) {
			return nil, errNotNonblock
		}
		if x.failed != nil {
			if err := d.probe(); err != nil {
				return nil, err
			}
			abandoned.Lock()
			abandoned.files = append(abandoned.files, x.failed)
			abandoned.Unlock()
			x.failed = nil
		}
		d.cleanup.Stop()
		file := os.NewFile(uintptr(d.fd), "efd")
		if file.SetDeadline(time.Time{}) == nil {
			return file, nil
		}
		x.failed = file
	}
	if err := d.probe(); err != nil {
		return nil, err
	}
	return nil, errNotPollable
}

// probe registers d with an epoll of its own, for the errno that the runtime's
// poller does not report.
func (d *descriptor) probe() error {
	const text = "cannot register with Go's poller"
	epfd, errno := callEpollCreate1(unix.EPOLL_CLOEXEC)
	if errno != 0 {
		return &callError{text, opEpollCreate1.fail(errno)}
	}
	defer callClose(epfd)
	ev := NewEpollEvent(EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLET, 0)
	if errno := callEpollCtl(epfd, unix.EPOLL_CTL_ADD, int(d.fd), &ev); errno != 0 {
		return &callError{text, opEpollCtl.fail(errno)}
	}
	return nil
}

// close ends the waits of a descriptor whose isOpen is clear. A waiter that
// resets the deadline after this hands its turn on after that, and the next
// one sees the descriptor closed.
func (p *poller) close() {
	close(p.ended)
	p.file.SetDeadline(longAgo)
}

// enter waits for s's turn.
func (p *poller) enter(ctx context.Context, s *waitSide) error {
	select {
	case s.turn <- struct{}{}:
	default:
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			return os.ErrClosed
		}
		// All three may have been ready.
		if err := ctx.Err(); err != nil {
			s.leave()
			return err
		}
	}
	if p.d.closed() {
		s.leave()
		return os.ErrClosed
	}
	return nil
}

// run calls s.try until it reports true. s's turn is the caller's.
func (p *poller) run(ctx context.Context, s *waitSide) error {
	s.ctx, s.armed = ctx, false
	err := s.wait(s.step)
	if s.disarm != nil {
		s.disarm()
		s.disarm = nil
	}
	s.ctx = nil
	s.slept.Store(s.armed)
	switch {
	case err == nil:
		return nil
	case p.d.closed():
		return os.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// tryArmed is try. When it fails for the first time, the wait begins: only then
// is ctx armed, which allocates.
func (s *waitSide) tryArmed(fd uintptr) bool {
	if s.try(fd) {
		return true
	}
	if !s.armed {
		s.armed, s.disarm = true, s.arm(s.ctx.(context.Context))
	}
	return false
}

// triesFirst reports whether a call is to be tried before the poller is
// entered. While waits sleep, that would be one call more for each.
func (s *waitSide) triesFirst() bool { return !s.slept.Load() || len(s.turn) > 0 }

// arm makes the end of ctx end the wait. The function that it returns, nil if ctx
// has no end, waits for a concurrent expire and clears the deadline, which
// would end the next wait.
func (s *waitSide) arm(ctx context.Context) (disarm func()) {
	if ctx.Done() == nil {
		return nil
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		s.expire(true)
		close(fired)
	})
	return func() {
		if !stop() {
			<-fired
			s.expire(false)
		}
	}
}

func (s *waitSide) leave() {
	s.events = nil
	<-s.turn
}
