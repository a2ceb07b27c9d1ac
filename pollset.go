//go:build linux

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

// PollSet is a set of descriptors to wait for with ppoll(2), for programs that
// wait for the same ones again and again. The zero value is empty and ready.
//
// Members are held from Add to Remove, not per wait, so that a wait costs what
// the kernel's does. An [EventFD] or [Epoll] is held itself: when it is closed
// while it is a member, Wait ends with [os.ErrClosed], Ready yields it with
// POLLNVAL, and so on until it is removed. Any other Conn, such as an os.File or
// a net.Conn, is held by a duplicate of its descriptor, which Close and Remove
// close. Its own Close does not wait for the set, and is not noticed: the open
// file stays open, and the set reports what happens to it, until it is removed.
//
// One goroutine at a time may wait, and read Ready between its waits. Add,
// Modify, Remove and Close may be called by any, also during a wait, which then
// goes on with the set as changed. A set that slept holds an eventfd of its
// own, by which it is woken for that.
type PollSet struct{ core atomic.Pointer[pollCore] }

// pollCore is a PollSet's content. Its members refer to it, so it is an object
// of its own: a PollSet that nobody holds any more can be collected.
//
// state is how a wait passes by mu. To begin is to set stateWaiting while
// nothing else is set, and to end is to clear it. Whoever changes something
// holds mu and sets stateChanged. If it finds stateWaiting set, it leaves the
// rest to the waiter, and wakes it. Else no wait begins without mu.
type pollCore struct {
	state atomic.Uint32

	mu      sync.Mutex
	members map[syscall.Conn]*member
	order   []*member // as they were added, with removed ones until the next rebuild
	nclosed int       // members whose handle closed
	closed  bool
	retired []*member // removed during a wait: the kernel may still look at their numbers

	// Of the goroutine that waits; of whoever holds mu where none does.
	wake   int       // eventfd that ends a wait, -1 before the first that may sleep
	fds    []PollFD  // a slot for each of polled, and one for wake
	polled []*member // as of the last rebuild
	ready  int       // slots that the last wait left ready
}

const (
	stateWaiting = 1 << iota
	stateChanged // look at the rest before the next poll
	stateNoWake  // wake is -1
)

// member is one descriptor of a set. Its number stays what it is for as long
// as it is a member: a handle is acquired, any other Conn is duplicated.
type member struct {
	core    *pollCore
	conn    syscall.Conn
	d       *descriptor // nil for a duplicate
	fd      int32
	events  PollEvents
	closed  bool // the handle closed
	removed bool
}

var (
	errSetBusy = badArg(unix.EBUSY, "PollSet: another goroutine waits on it")
	errNoConn  = badArg(unix.EINVAL, "PollSet: the Conn is nil, or of a type that cannot be compared")
)

func (s *PollSet) get() *pollCore {
	if c := s.core.Load(); c != nil {
		return c
	}
	return s.make()
}

func (s *PollSet) make() *pollCore {
	c := &pollCore{wake: -1, members: map[syscall.Conn]*member{}}
	c.state.Store(stateChanged | stateNoWake)
	if s.core.CompareAndSwap(nil, c) {
		// Members' numbers may sleep in close, which would hold up other cleanups.
		runtime.AddCleanup(s, func(c *pollCore) { go c.close() }, c)
	}
	return s.core.Load()
}

// Add makes c a member that is waited for with events. POLLERR, POLLHUP and
// POLLNVAL are waited for in any case. Errors: EEXIST, c is a member already;
// EINVAL, c is nil or cannot be compared; [os.ErrClosed], the set or c is
// closed; and those of dup(2).
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
	m, err := pin(conn)
	if err != nil {
		return err
	}
	m.core, m.events = c, events
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		err = os.ErrClosed
	case c.members[conn] != nil:
		err = badArg(unix.EEXIST, "PollSet.Add: %s is a member already", reflect.TypeOf(conn).String())
	case m.d != nil && !m.d.watch(m):
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
func pin(conn syscall.Conn) (*member, error) {
	m := &member{conn: conn}
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
	callClose(int(m.fd))
}

// dupConn duplicates the descriptor of any Conn.
func dupConn(conn syscall.Conn) (fd int, err error) {
	var errno unix.Errno
	err = control(conn, func(n uintptr) { fd, errno = callFcntl(int(n), unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil && errno != 0 {
		err = opFcntl.fail(errno)
	}
	return fd, err
}

// Modify changes what c is waited for. Errors: ENOENT, c is no member;
// [os.ErrClosed], the set is closed.
func (s *PollSet) Modify(c syscall.Conn, events PollEvents) error {
	_, err := s.change(c, func(m *member) { m.events = events })
	return err
}

// Remove takes c out of the set. Errors: ENOENT, c is no member;
// [os.ErrClosed], the set is closed.
func (s *PollSet) Remove(c syscall.Conn) error {
	free := false
	m, err := s.change(c, func(m *member) {
		delete(m.core.members, c)
		free = m.remove()
	})
	if free {
		m.letGo()
	}
	return err
}

// change applies f to conn's member.
func (s *PollSet) change(conn syscall.Conn, f func(*member)) (*member, error) {
	if !isKey(conn) {
		return nil, errNoConn
	}
	defer runtime.KeepAlive(s)
	c := s.get()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, os.ErrClosed
	}
	m := c.members[conn]
	if m == nil {
		return nil, badArg(unix.ENOENT, "PollSet: %s is no member", reflect.TypeOf(conn).String())
	}
	f(m)
	c.changed()
	return m, nil
}

// changed has the set looked at before the next poll, and ends a poll under
// way, which it reports. c.mu is held.
func (c *pollCore) changed() (waiting bool) {
	old := c.state.Or(stateChanged)
	if old&(stateWaiting|stateChanged) == stateWaiting {
		c.poke()
	}
	return old&stateWaiting != 0
}

// poke wakes the waiter. c.mu is held, and the waiter is there.
func (c *pollCore) poke() {
	if c.state.Load()&stateNoWake == 0 {
		one := uint64(1)
		callWrite(c.wake, &one, false)
	}
}

// remove takes m out, and reports whether the caller is to let its number go,
// for which c.mu, held here, is not needed.
func (m *member) remove() (free bool) {
	m.removed = true
	if m.closed {
		m.core.nclosed--
		return false
	}
	return m.retire()
}

// retire is the part of remove that a closing handle needs too.
func (m *member) retire() (free bool) {
	if m.core.changed() {
		m.core.retired = append(m.core.retired, m)
		return false
	}
	return true
}

// letGo undoes pin and watch.
func (m *member) letGo() {
	if m.d != nil {
		m.d.unwatch(m)
	}
	m.unpin()
}

// closing is told by the member's handle.
func (m *member) closing(*descriptor) {
	c := m.core
	c.mu.Lock()
	free := false
	if !m.removed && !m.closed {
		m.closed = true
		c.nclosed++
		free = m.retire()
	}
	c.mu.Unlock()
	if free {
		m.unpin()
	}
}

func (m *member) gone() bool { return false }

// Wait waits until a member is ready, and returns how many are. n is 0 when the
// time is over. Timeout and mask are as in [Poll]. It is one ppoll(2), and
// another one where the set was changed meanwhile. Errors: [os.ErrClosed], the
// set or a member was closed; EBUSY, another goroutine waits;
// *[InterruptedError]; and those of ppoll(2).
func (s *PollSet) Wait(timeout time.Duration, mask *SigSet) (n int, err error) {
	c := s.get()
	n, err = c.wait(context.Background(), timeout, mask)
	runtime.KeepAlive(s)
	return n, err
}

// WaitContext is Wait without a time limit, until ctx is done. It sleeps in
// ppoll(2), on a thread.
func (s *PollSet) WaitContext(ctx context.Context) (n int, err error) {
	c := s.get()
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.state.Load()&stateWaiting != 0 {
				c.poke()
			}
		})
		defer stop()
	}
	n, err = c.wait(ctx, Forever, nil)
	runtime.KeepAlive(s)
	return n, err
}

func (c *pollCore) wait(ctx context.Context, timeout time.Duration, mask *SigSet) (n int, err error) {
	var l limit
	var buf SigSet
	ts, blocked := l.set(timeout), waitMask(mask, &buf)
	if mask != nil && timeout > 0 {
		l.start()
	}
	for {
		fds, err := c.begin(!ts.isZero())
		if err != nil {
			return 0, err
		}
		// Only now: a context that is done from here on pokes.
		if ctx.Err() != nil {
			c.end(0, nil)
			return 0, ctx.Err()
		}
		n, errno := callPpoll(fds, ts, blocked)
		if errno != 0 {
			n, err = repeatPpoll(errno, fds, &l, mask, blocked)
		} else if n > 0 {
			raceSeen()
		}
		again, n, err := c.end(n, err)
		if err != nil {
			return 0, err
		}
		if !again {
			return n, nil
		}
		ts = l.next()
	}
}

// begin makes the caller the one that waits, and returns what to poll. A wait
// that does not sleep needs no wake.
func (c *pollCore) begin(sleeps bool) ([]PollFD, error) {
	s := c.state.Load()
	if s == 0 || s == stateNoWake && !sleeps {
		if c.state.CompareAndSwap(s, s|stateWaiting) {
			c.ready = 0
			return c.slots(sleeps), nil
		}
	}
	return c.beginChanged(sleeps)
}

func (c *pollCore) slots(sleeps bool) []PollFD {
	if sleeps {
		return c.fds
	}
	return c.fds[:len(c.polled)]
}

func (c *pollCore) beginChanged(sleeps bool) ([]PollFD, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state.Load()&stateWaiting != 0:
		return nil, errSetBusy
	case c.closed:
		return nil, os.ErrClosed
	case c.nclosed > 0:
		c.reportClosed()
		return nil, os.ErrClosed
	}
	if sleeps && c.wake < 0 {
		fd, errno := callEventfd2(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if errno != 0 {
			return nil, opEventfd2.fail(errno)
		}
		c.wake = fd
	}
	c.rebuild()
	var s uint32 = stateWaiting
	if c.wake < 0 {
		s |= stateNoWake
	}
	c.state.Store(s)
	c.ready = 0
	return c.slots(sleeps), nil
}

// rebuild makes fds from the members. The slot of wake is the last: where a
// member is ready, the kernel does not queue on what comes after it.
func (c *pollCore) rebuild() {
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
	clear(c.polled[len(c.polled):cap(c.polled)])
	c.order = kept
	c.fds = append(c.fds, PollFD{FD: int32(c.wake), Events: POLLIN})
}

// end takes in the result of a poll. again says that it was only a poke.
func (c *pollCore) end(n int, err error) (again bool, _ int, _ error) {
	poked := false
	if wake := &c.fds[len(c.fds)-1]; wake.Revents != 0 {
		wake.Revents = 0
		if err == nil && n > 0 {
			poked = true
			n--
		}
	}
	if !poked {
		s := c.state.Load()
		if s&stateChanged == 0 && c.state.CompareAndSwap(s, s&^stateWaiting) {
			c.ready = n
			return false, n, err
		}
	}
	return c.endChanged(n, err, poked)
}

func (c *pollCore) endChanged(n int, err error, poked bool) (again bool, _ int, _ error) {
	c.mu.Lock()
	if poked {
		var v uint64
		callRead(c.wake, &v, false)
	}
	// stateChanged stays set while there is something to look at.
	c.state.And(^uint32(stateWaiting))
	retired := c.retired
	c.retired = nil
	if err == nil {
		gone := c.forgetRemoved()
		n -= gone
		poked = poked || gone > 0
	}
	c.ready = n
	switch {
	case c.closed:
		err, c.ready = os.ErrClosed, 0
		c.freeWake()
	case c.nclosed > 0:
		err = os.ErrClosed
		c.reportClosed()
	}
	c.mu.Unlock()
	for _, m := range retired {
		m.letGo()
	}
	return err == nil && n == 0 && poked, n, err
}

// forgetRemoved takes the answers for members that were removed during the
// wait away, and returns how many there were. c.mu is held.
func (c *pollCore) forgetRemoved() (n int) {
	for i, m := range c.polled {
		if m.removed && c.fds[i].Revents != 0 {
			c.fds[i].Revents = 0
			n++
		}
	}
	return n
}

// reportClosed has Ready yield the members whose handles closed.
func (c *pollCore) reportClosed() {
	c.rebuild()
	c.ready = 0
	for i, m := range c.polled {
		if m.closed {
			c.fds[i].Revents = POLLNVAL
			c.ready++
		}
	}
}

// Ready yields the members that the last Wait found ready, in the order in
// which they were added, with their events. The loop may change the set and
// close members; what it removes is not yielded any more. After an error of
// Wait it yields nothing, or the members whose handles are closed.
func (s *PollSet) Ready() iter.Seq2[syscall.Conn, PollEvents] {
	return func(yield func(syscall.Conn, PollEvents) bool) {
		c := s.get()
		polled, fds, left := c.polled, c.fds, c.ready
		for i := 0; i < len(polled) && left > 0; i++ {
			ev := fds[i].Revents
			if ev == 0 {
				continue
			}
			left--
			c.mu.Lock()
			removed := polled[i].removed
			c.mu.Unlock()
			if !removed && !yield(polled[i].conn, ev) {
				return
			}
		}
		runtime.KeepAlive(s)
	}
}

// Close takes all members out and ends a wait with [os.ErrClosed], as it does
// all later calls.
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
		if m.remove() {
			free = append(free, m)
		}
	}
	clear(c.members)
	if !c.changed() {
		c.freeWake()
	}
	c.mu.Unlock()
	for _, m := range free {
		m.letGo()
	}
	return nil
}

// freeWake closes wake for good. c.mu is held, and nobody waits.
func (c *pollCore) freeWake() {
	if c.wake >= 0 {
		callClose(c.wake)
		c.wake = -1
		c.state.Or(stateNoWake)
	}
}
