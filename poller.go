//go:build linux

package efd

import (
	"context"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller is a descriptor's place in the Go runtime's poller, where goroutines
// wait without a thread. It is made by the first wait. From then on file owns
// the number.
type poller struct {
	d      *descriptor
	file   *os.File
	conn   syscall.RawConn
	err    error         // the poller does not take this descriptor
	ended  chan struct{} // closed when the handle closes
	reader waitSide
	writer waitSide
}

// waitSide is one of the two directions of a poller. The deadline, by which
// waits are cancelled, belongs to the file. So one goroutine at a time is in
// the poller, the one that put its token into turn. The others wait for their turn.
type waitSide struct {
	wait   func(func(uintptr) bool) error
	expire func(now bool) // sets the deadline to one that has passed, or takes it back
	turn   chan struct{}
	try    func(uintptr) bool // a call that cannot sleep, on the operands below; false: wait and call again

	value  uint64
	events []EpollEvent
	n      int
	errno  unix.Errno
}

var longAgo = time.Unix(1, 0)

// deadline is one that has passed, or none.
func deadline(passed bool) time.Time {
	if passed {
		return longAgo
	}
	return time.Time{}
}

// poller is d's place in the runtime's poller, nil before the first wait.
func (d *descriptor) poller() *poller {
	if x := d.extra.Load(); x != nil {
		return x.poller.Load()
	}
	return nil
}

// getPoller registers d, whose number the caller has acquired, with the
// runtime's poller unless it is there.
func (d *descriptor) getPoller(setup func(*poller)) (*poller, error) {
	x := d.getExtra()
	p := x.poller.Load()
	if p == nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		if p = x.poller.Load(); p == nil {
			if d.closed() {
				return nil, os.ErrClosed
			}
			p = newPoller(d, setup)
			x.poller.Store(p)
		}
	}
	return p, p.err
}

func newPoller(d *descriptor, setup func(*poller)) *poller {
	d.cleanup.Stop()
	p := &poller{d: d, file: os.NewFile(uintptr(d.fd), "efd"), ended: make(chan struct{})}
	p.conn, p.err = p.file.SyscallConn()
	if p.err == nil && p.file.SetDeadline(time.Time{}) != nil {
		p.err = errNotPollable
	}
	p.reader.wait, p.reader.turn = p.conn.Read, make(chan struct{}, 1)
	p.writer.wait, p.writer.turn = p.conn.Write, make(chan struct{}, 1)
	p.reader.expire = func(now bool) { p.file.SetReadDeadline(deadline(now)) }
	p.writer.expire = func(now bool) { p.file.SetWriteDeadline(deadline(now)) }
	setup(p)
	return p
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
	disarm := s.arm(ctx)
	err := s.wait(s.try)
	if disarm != nil {
		disarm()
	}
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

// arm has the end of ctx end the wait. The function that it returns, nil where
// ctx has no end, waits for a deadline that is being set, and takes it back:
// it would end the next wait.
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
