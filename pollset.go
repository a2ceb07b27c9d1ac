package efd

import (
	"context"
	"iter"
	"os"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// PollSet is a set of descriptors to wait for. The zero value is empty and
// ready.
type PollSet struct{ core atomic.Pointer[pollCore] }

// pollCore is a PollSet's content. Its members refer to it, so it is an object
// of its own: a PollSet that nobody holds any more can be collected.
type pollCore struct {
	mu      sync.Mutex
	members map[syscall.Conn]*member
	order   []*member // members as they were added, with removed ones until the next rebuild
	dirty   bool      // fds is not what order says
	nclosed int       // members whose handle closed
	waiting bool
	closed  bool
	wake    int       // eventfd that ends a wait, -1 before the first wait that may sleep
	retired []*member // no longer members: the kernel may still look at their numbers

	// Of the goroutine that waits.
	fds    []PollFD // a slot for each of polled, and one for wake
	polled []*member
	ready  int // slots that the last wait left ready
}

// member is one descriptor of a set. Its number stays its own for as long as
// it is a member: a handle is acquired, any other Conn is duplicated.
type member struct {
	conn    syscall.Conn
	d       *descriptor // nil for a duplicate
	fd      int32
	events  PollEvents
	closed  bool // the handle closed
	removed bool
}

var (
	errSetBusy = badArg(unix.EBUSY, "PollSet: another goroutine waits on it")
	errNoConn  = badArg(unix.EINVAL, "PollSet: Conn is nil or of a type that cannot be compared")
)

func (s *PollSet) get() *pollCore {
	if c := s.core.Load(); c != nil {
		return c
	}
	c := &pollCore{wake: -1, members: map[syscall.Conn]*member{}}
	if s.core.CompareAndSwap(nil, c) {
		runtime.AddCleanup(s, func(c *pollCore) { c.close() }, c)
	}
	return s.core.Load()
}

// Add makes c a member.
func (s *PollSet) Add(c syscall.Conn, events PollEvents) error {
	if !isKey(c) {
		return errNoConn
	}
	defer runtime.KeepAlive(s)
	return s.get().add(c, events)
}

func isKey(c syscall.Conn) bool {
	v := reflect.ValueOf(c)
	return v.IsValid() && v.Comparable() && !(v.Kind() == reflect.Pointer && v.IsNil())
}

func (c *pollCore) add(conn syscall.Conn, events PollEvents) error {
	m, err := pin(conn, events)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		err = os.ErrClosed
	case c.members[conn] != nil:
		err = badArg(unix.EEXIST, "PollSet.Add: %T is a member already", conn)
	case m.d != nil && !m.d.watch(c):
		err = os.ErrClosed
	}
	if err != nil {
		m.unpin()
		return err
	}
	c.members[conn] = m
	c.order = append(c.order, m)
	c.changed()
	return nil
}

// pin makes a member whose number nobody else can close.
func pin(conn syscall.Conn, events PollEvents) (*member, error) {
	m := &member{conn: conn, events: events}
	switch h := conn.(type) {
	case *EventFD:
		m.d = &h.d
	case *Epoll:
		m.d = &h.d
	default:
		fd, err := dupConn(conn)
		m.fd = int32(fd)
		return m, err
	}
	if !m.d.acquire() {
		return nil, os.ErrClosed
	}
	m.fd = m.d.fd
	return m, nil
}

func (m *member) unpin() {
	if m.d != nil {
		m.d.release()
		return
	}
	sysClose(int(m.fd))
}

// dupConn duplicates the descriptor of any Conn.
func dupConn(conn syscall.Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	var errno unix.Errno
	err = raw.Control(func(n uintptr) { fd, errno = sysFcntl(int(n), unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil && errno != 0 {
		err = opFcntl.fail(errno)
	}
	return fd, err
}

// Modify changes what c is waited for.
func (s *PollSet) Modify(conn syscall.Conn, events PollEvents) error {
	if !isKey(conn) {
		return errNoConn
	}
	defer runtime.KeepAlive(s)
	c := s.get()
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.find(conn)
	if err != nil {
		return err
	}
	m.events = events
	c.changed()
	return nil
}

// Remove takes c out of the set.
func (s *PollSet) Remove(conn syscall.Conn) error {
	if !isKey(conn) {
		return errNoConn
	}
	defer runtime.KeepAlive(s)
	c := s.get()
	c.mu.Lock()
	m, err := c.find(conn)
	if err == nil {
		delete(c.members, conn)
		m.removed = true
		c.changed()
	}
	free := err == nil && c.drop(m)
	c.mu.Unlock()
	if free {
		m.leave(c)
	}
	return err
}

func (c *pollCore) find(conn syscall.Conn) (*member, error) {
	if c.closed {
		return nil, os.ErrClosed
	}
	m := c.members[conn]
	if m == nil {
		return nil, badArg(unix.ENOENT, "PollSet: %T is no member", conn)
	}
	return m, nil
}

// changed has fds rebuilt before the next poll, which is at once. c.mu is held.
func (c *pollCore) changed() {
	c.dirty = true
	c.poke()
}

// poke ends the poll under way. c.mu is held.
func (c *pollCore) poke() {
	if c.waiting && c.wake >= 0 {
		one := uint64(1)
		sysWrite(c.wake, &one, false)
	}
}

// drop reports whether m's pin can be let go. The waiter does so where the
// kernel may still look at the number. c.mu is held.
func (c *pollCore) drop(m *member) bool {
	if m.closed {
		c.nclosed--
		return false
	}
	if c.waiting {
		c.retired = append(c.retired, m)
		return false
	}
	return true
}

func (m *member) leave(c *pollCore) {
	if m.d != nil {
		m.d.unwatch(c)
	}
	m.unpin()
}

// closing is told by a member's handle.
func (c *pollCore) closing(d *descriptor) {
	c.mu.Lock()
	var gone *member
	for _, m := range c.members {
		if m.d == d {
			gone = m
		}
	}
	free := false
	if gone != nil && !gone.closed {
		free = c.drop(gone)
		gone.closed = true
		c.nclosed++
		c.changed()
	}
	c.mu.Unlock()
	if free {
		gone.unpin()
	}
}

// Wait waits until a member is ready.
func (s *PollSet) Wait(timeout time.Duration, mask *SigSet) (n int, err error) {
	var ts timespec
	var buf SigSet
	n, err = s.get().wait(nil, ts.set(timeout), mask, waitMask(mask, &buf))
	runtime.KeepAlive(s)
	return n, err
}

// WaitContext is Wait until ctx is done.
func (s *PollSet) WaitContext(ctx context.Context) (n int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c := s.get()
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			c.mu.Lock()
			c.poke()
			c.mu.Unlock()
		})
		defer stop()
	}
	n, err = c.wait(ctx, nil, nil, nil)
	runtime.KeepAlive(s)
	return n, err
}

func (c *pollCore) wait(ctx context.Context, ts *timespec, mask, blocked *SigSet) (int, error) {
	for {
		fds, err := c.begin(ctx, !ts.isZero())
		if err != nil {
			return 0, err
		}
		n, err := ppoll(fds, ts, mask, blocked)
		again, n, err := c.end(n, err)
		if !again {
			return n, err
		}
	}
}

// begin makes the caller the one that waits, and returns what to poll.
func (c *pollCore) begin(ctx context.Context, sleeps bool) ([]PollFD, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, os.ErrClosed
	case c.waiting:
		return nil, errSetBusy
	case c.nclosed > 0:
		c.reportClosed()
		return nil, os.ErrClosed
	}
	if ctx != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.ready = 0
	if c.dirty {
		c.rebuild()
	}
	if !sleeps {
		c.waiting = true
		return c.fds[:len(c.polled)], nil
	}
	if c.wake < 0 {
		fd, errno := sysEventfd2(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if errno != 0 {
			return nil, opEventfd2.fail(errno)
		}
		c.wake = fd
		c.rebuild()
	}
	c.waiting = true
	return c.fds, nil
}

// rebuild makes fds from the members. The slot of wake is the last: where a
// member is ready, the kernel does not queue on what comes after it.
func (c *pollCore) rebuild() {
	c.dirty = false
	c.fds, c.polled = c.fds[:0], c.polled[:0]
	kept := c.order[:0]
	for _, m := range c.order {
		if m.removed {
			continue
		}
		kept = append(kept, m)
		c.polled = append(c.polled, m)
		c.fds = append(c.fds, PollFD{FD: m.fd, Events: m.events})
	}
	clear(c.order[len(kept):])
	c.order = kept
	c.fds = append(c.fds, PollFD{FD: int32(c.wake), Events: POLLIN})
}

// end takes in the result of a poll. again says that it was only a poke.
func (c *pollCore) end(n int, err error) (again bool, _ int, _ error) {
	c.mu.Lock()
	c.waiting = false
	poked := false
	if slot := &c.fds[len(c.fds)-1]; err == nil && n > 0 && slot.Revents != 0 {
		var v uint64
		sysRead(c.wake, &v, false)
		slot.Revents = 0
		poked = true
		n--
	}
	retired := c.retired
	c.retired = nil
	switch {
	case c.closed:
		err = os.ErrClosed
		c.freeWake()
	case c.nclosed > 0:
		err = os.ErrClosed
		c.reportClosed()
	case err == nil:
		c.ready = n
	}
	c.mu.Unlock()
	for _, m := range retired {
		m.leave(c)
	}
	if err != nil {
		return false, 0, err
	}
	return n == 0 && poked, n, nil
}

// reportClosed has Ready yield the members whose handles closed.
func (c *pollCore) reportClosed() {
	if c.dirty {
		c.rebuild()
	}
	c.ready = 0
	for i, m := range c.polled {
		c.fds[i].Revents = 0
		if m.closed {
			c.fds[i].Revents = POLLNVAL
			c.ready++
		}
	}
}

// Ready yields the members that the last Wait found ready.
func (s *PollSet) Ready() iter.Seq2[syscall.Conn, PollEvents] {
	return func(yield func(syscall.Conn, PollEvents) bool) {
		c := s.get()
		left := c.ready
		for i := 0; i < len(c.polled) && left > 0; i++ {
			ev := c.fds[i].Revents
			if ev == 0 {
				continue
			}
			left--
			m := c.polled[i]
			c.mu.Lock()
			removed := m.removed
			c.mu.Unlock()
			if !removed && !yield(m.conn, ev) {
				return
			}
		}
	}
}

// Close empties the set and ends a Wait.
func (s *PollSet) Close() error {
	defer runtime.KeepAlive(s)
	return s.get().close()
}

func (c *pollCore) close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return os.ErrClosed
	}
	c.closed = true
	var free []*member
	for _, m := range c.members {
		m.removed = true
		if c.drop(m) {
			free = append(free, m)
		}
	}
	clear(c.members)
	c.poke()
	if !c.waiting {
		c.freeWake()
	}
	c.mu.Unlock()
	for _, m := range free {
		m.leave(c)
	}
	return nil
}

func (c *pollCore) freeWake() {
	if c.wake >= 0 {
		sysClose(c.wake)
		c.wake = -1
	}
}
