//go:build linux

package efd

import (
	"context"
	"errors"
	"os"
	"reflect"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	_ syscall.Conn = (*EventFD)(nil)
	_ syscall.Conn = (*Epoll)(nil)
)

// rawConn is a handle's syscall.RawConn.
type rawConn struct {
	d      *descriptor
	poller func() (*poller, error)
}

func (c rawConn) Control(f func(fd uintptr)) error {
	if !c.d.acquire() {
		return os.ErrClosed
	}
	defer c.d.release()
	c.d.share()
	f(uintptr(c.d.fd))
	return nil
}

func (c rawConn) Read(f func(fd uintptr) bool) error {
	return c.run(f, func(p *poller) *waitSide { return &p.reader })
}

// Write tries, after each readiness that f does not use up, the values of the
// WriteContexts that wait for their turn.
func (c rawConn) Write(f func(fd uintptr) bool) error {
	var p *poller
	return c.run(func(fd uintptr) bool {
		if f(fd) {
			return true
		}
		if p.writes.write != nil {
			p.writes.flush(nil)
		}
		return false
	}, func(g *poller) *waitSide { p = g; return &g.writer })
}

func (c rawConn) run(f func(fd uintptr) bool, side func(*poller) *waitSide) error {
	if !c.d.acquire() {
		return os.ErrClosed
	}
	defer c.d.release()
	c.d.share()
	p, err := c.poller()
	if err != nil {
		return err
	}
	s := side(p)
	if err := p.enter(context.Background(), s); err != nil {
		return err
	}
	defer s.leave()
	err = s.wait(f)
	if err != nil && c.d.closed() {
		return os.ErrClosed
	}
	return err
}

// ConnOf returns c, such as a net.Conn or net.Listener, as the syscall.Conn that
// PollSet.Add and Epoll.AddConn take, which package net's own types are. Of a
// connection over another, as *tls.Conn is, it is the one below, by its method
// NetConn: readiness there says nothing of bytes that are decrypted already.
// Errors: EINVAL, c is nil, or has no descriptor, as a net.Pipe has none.
func ConnOf(c any) (syscall.Conn, error) {
	for v := c; ; {
		if conn, ok := v.(syscall.Conn); ok {
			if err := checkKey(conn); err != nil {
				return nil, err
			}
			return conn, nil
		}
		of := reflect.ValueOf(v)
		if !of.IsValid() {
			return nil, errNilConn
		}
		below := of.MethodByName("NetConn")
		if !below.IsValid() || below.Type().NumIn() != 0 || below.Type().NumOut() != 1 {
			return nil, badArg(unix.EINVAL, "ConnOf: %s has no descriptor: want a method SyscallConn, or NetConn", reflect.TypeOf(c).String())
		}
		if of.Kind() == reflect.Pointer && of.IsNil() {
			return nil, errNilConn
		}
		v = below.Call(nil)[0].Interface()
	}
}

// closedConn is the error of a Conn of another package that is closed.
type closedConn struct{ err error }

func (e *closedConn) Error() string {
	return "efd: the Conn is closed: " + e.err.Error()
}
func (e *closedConn) Unwrap() []error { return []error{os.ErrClosed, e.err} }

// control runs f on the fd of a Conn of another package. A closed one does not
// run it, and the error of os and net is then not os.ErrClosed.
func control(c syscall.Conn, f func(fd uintptr)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	ran := false
	err = raw.Control(func(fd uintptr) {
		ran = true
		f(fd)
	})
	if err != nil && !ran && !errors.Is(err, os.ErrClosed) {
		return &closedConn{err}
	}
	return err
}

// dup returns a duplicate of d's number, close-on-exec.
func (d *descriptor) dup() (int, error) {
	if !d.acquire() {
		return -1, os.ErrClosed
	}
	d.share()
	fd, errno := callFcntl(int(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	d.release()
	if errno != 0 {
		return -1, opFcntl.fail(errno)
	}
	return fd, nil
}
