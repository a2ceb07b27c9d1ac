//go:build linux

package efd

import (
	"context"
	"iter"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PollSet is a set of descriptors to wait for with ppoll(2), for programs that
// wait for the same ones again and again. The zero value is empty and ready.
//
// Members are held from Add to Remove, not per wait, so that a wait adds no
// cost to the kernel's. An [EventFD] or [Epoll] is held itself: if it is closed
// while it is a member, Wait ends with [os.ErrClosed], Ready yields it with
// POLLNVAL, and so on until it is removed. Any other Conn, such as an os.File
// or a *net.TCPConn, is held by a duplicate of its descriptor, which Close and
// Remove close. An fd that AddFD added is kept open by the caller.
//
// Alternatives: [EventFD.ReadContext] waits for one eventfd, and [Epoll] serves
// many descriptors, both in the runtime netpoller, without a thread. A PollSet
// is for the few descriptors that a thread waits for, a socket and a stop event
// perhaps, with a timeout to the nanosecond or a signal mask; [Poll] is the
// same for a single wait, by bare fds.
//
// One goroutine at a time may wait, and read Ready between its waits. Add,
// Modify, Remove and Close may be called by any, also during a wait, which then
// goes on with the set as changed. A set that slept holds an eventfd of its
// own, by which it is woken for that.
type PollSet struct{ core atomic.Pointer[pollCore] }

// pollCore is a PollSet's content. Its members refer to it, so it is an object
// of its own: an unreachable PollSet can be collected.
//
// state lets Wait run without mu. A wait begins by setting stateWaiting,
// without mu only if no other bit is set, and ends by clearing it. A change
// holds mu and sets stateChanged. If it finds stateWaiting set, it leaves the
// rest to the waiter, and wakes it. Else no wait begins without mu.
type pollCore struct {
	state atomic.Uint32

	mu      sync.Mutex
	members map[syscall.Conn]*member
	order   []*member // as they were added; nil for those that were removed
	holes   int       // how many those are
	nclosed int       // members whose handle closed
	closed  bool
	retired []*member // removed during a wait: the kernel may still look at their numbers

	// Of the waiting goroutine; of the holder of mu if none waits.
	wake   int       // eventfd that ends a wait, -1 before the first that may sleep
	fds    []PollFD  // a slot for each of polled, and one for wake
	polled []*member // as of the last rebuild; nil for those that were removed
	ready  int       // slots that the last wait left ready
}

const (
	stateWaiting = 1 << iota
	stateChanged // look at the rest before the next poll
	stateNoWake  // wake is -1
)

// member is one descriptor of a set. Its fd refers to the same file as long as
// it is a member: a handle is acquired, a bare fd is kept open by the caller,
// and any other Conn is duplicated.
type member struct {
	core    *pollCore
	conn    syscall.Conn
	d       *descriptor // of a handle
	bare    bool
	fd      int32
	events  PollEvents
	at      int  // its place in order
	slot    int  // and in polled, -1 before the first rebuild
	closed  bool // the handle closed
	removed bool
}

var (
	errSetBusy = badArg(unix.EBUSY, "PollSet: another goroutine waits on it")
	errNoKey   = badArg(unix.EINVAL, "PollSet: the Conn is of a type that cannot be compared")
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
// POLLNVAL are waited for in any case. A wait under way goes on with it.
//
// A connection or file is held by a duplicate. So its own Close closes nothing
// yet: the peer of a connection gets no FIN, and waits for its end, until
// Remove. The open file stays open, and the set reports its events. Remove it
// before you close it. [ConnOf] makes a syscall.Conn of a net.Conn.
//
// Errors: EEXIST, c is a member already; EINVAL, c is nil or cannot be compared;
// EBADF, its number is none; [os.ErrClosed], the set or c is closed; and those of
// dup(2).
func (s *PollSet) Add(c syscall.Conn, events PollEvents) error {
	if s == nil {
		return os.ErrInvalid
	}
	if err := checkKey(c); err != nil {
		return err
	}
	defer runtime.KeepAlive(s)
	return s.get().add(c, events)
}

// AddFD is Add for a bare fd, which is neither duplicated nor closed: the
// caller keeps it open until it is removed. Ready yields it as an [FD], and
// Modify and Remove take it as that. An fd that is closed in between is
// POLLNVAL, and one that is reused is reported for its new file. It makes one
// fcntl(2), F_GETFD. Errors: EBADF, fd is not open, or negative, as that of a
// closed handle is; EEXIST, it is a member already; [os.ErrClosed].
func (s *PollSet) AddFD(fd int, events PollEvents) error { return s.Add(FD(fd), events) }

// checkKey refuses Conns that cannot be a member.
func checkKey(c syscall.Conn) error {
	switch v := reflect.ValueOf(c); {
	case !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil():
		return errNilConn
	case v.Kind() != reflect.Pointer && v.Kind() != reflect.Int && !v.Comparable(): // which allocates
		return errNoKey
	}
	return nil
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
		err = badArg(unix.EEXIST, "PollSet.Add: %s is a member already", memberName(conn))
	case m.d != nil && !m.d.watch(m):
		err = os.ErrClosed
	}
	if err != nil {
		m.unpin()
		return err
	}
	c.members[conn] = m
	if c.holes > len(c.order)/2 {
		c.compact()
	}
	m.at, m.slot = len(c.order), -1
	c.order = append(c.order, m)
	c.changed()
	return nil
}

// pin makes a member whose fd only the set can close.
func pin(conn syscall.Conn) (*member, error) {
	m := &member{conn: conn}
	switch h := conn.(type) {
	case *EventFD:
		m.d = &h.d
	case *Epoll:
		m.d = &h.d
	case FD:
		m.bare, m.fd = true, int32(h)
		return m, h.checkOpen()
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

// unpin may sleep: a close lingers, or flushes.
func (m *member) unpin() {
	switch {
	case m.d != nil:
		m.d.release()
	case !m.bare:
		callClose(int(m.fd))
	}
}

// dupConn duplicates the descriptor of any Conn.
func dupConn(conn syscall.Conn) (fd int, err error) {
	ctlErr := control(conn, func(n uintptr) {
		if err = FD(n).check("PollSet"); err != nil {
			return
		}
		var errno unix.Errno
		if fd, errno = callFcntl(int(n), unix.F_DUPFD_CLOEXEC, 0); errno != 0 {
			err = opFcntl.fail(errno)
		}
	})
	if ctlErr != nil {
		err = ctlErr
	}
	return fd, err
}

// Modify changes the events of c. A running wait goes on with them. Errors:
// ENOENT, c is not a member; EINVAL as Add; [os.ErrClosed], the set is closed.
func (s *PollSet) Modify(c syscall.Conn, events PollEvents) error {
	core, m, err := s.lockMember("Modify", c)
	if err != nil {
		return err
	}
	m.events = events
	core.changed()
	core.mu.Unlock()
	runtime.KeepAlive(s)
	return nil
}

// Remove removes c from the set. The duplicate by which the set holds a Conn of
// another package is closed then, which sleeps if close(2) does: with
// SO_LINGER, for example. During a wait, a goroutine of its own closes it.
// Errors: ENOENT, c is not a member; EINVAL as Add; [os.ErrClosed], the set is
// closed.
func (s *PollSet) Remove(c syscall.Conn) error {
	core, m, err := s.lockMember("Remove", c)
	if err != nil {
		return err
	}
	delete(core.members, c)
	free := m.remove()
	core.mu.Unlock()
	if free {
		m.release()
	}
	runtime.KeepAlive(s)
	return nil
}

// lockMember returns conn's member. Without an error the caller holds the mutex.
func (s *PollSet) lockMember(method string, conn syscall.Conn) (*pollCore, *member, error) {
	if s == nil {
		return nil, nil, os.ErrInvalid
	}
	if err := checkKey(conn); err != nil {
		return nil, nil, err
	}
	c := s.get()
	c.mu.Lock()
	m, err := c.members[conn], error(nil)
	switch {
	case c.closed:
		err = os.ErrClosed
	case m == nil:
		err = badArg(unix.ENOENT, "PollSet.%s: %s is not a member", method, memberName(conn))
	}
	if err != nil {
		c.mu.Unlock()
		return nil, nil, err
	}
	return c, m, nil
}

// memberName is conn in an error: a number, or a type.
func memberName(conn syscall.Conn) string {
	switch c := conn.(type) {
	case FD:
		return sprintf("fd %d", int(c))
	case *EventFD:
		return c.String()
	case *Epoll:
		return c.String()
	}
	return reflect.TypeOf(conn).String()
}

// changed marks the set dirty and interrupts a running poll; it reports whether
// one was running. c.mu is held.
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
	c := m.core
	m.removed = true
	c.order[m.at] = nil
	c.holes++
	if c.state.Load()&stateWaiting == 0 {
		m.forgetSlot() // else it is the waiter's
	}
	if m.closed {
		c.nclosed--
		c.changed()
		return false
	}
	return m.retire()
}

// forgetSlot removes m from the slots of the last wait.
func (m *member) forgetSlot() {
	if c := m.core; m.slot >= 0 {
		c.polled[m.slot] = nil
		m.slot = -1
	}
}

// compact closes the holes in order. mu is held.
func (c *pollCore) compact() {
	c.order = slices.DeleteFunc(c.order, func(m *member) bool { return m == nil })
	c.holes = 0
	for i, m := range c.order {
		m.at = i
	}
}

// retire is the part of remove that a closing handle needs too.
func (m *member) retire() (free bool) {
	if m.core.changed() {
		m.core.retired = append(m.core.retired, m)
		return false
	}
	return true
}

// release undoes pin and watch.
func (m *member) release() {
	if m.d != nil {
		m.d.unwatch(m)
	}
	m.unpin()
}

// closing implements watcher for the member's handle.
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

// Wait waits until a member is ready, and returns the number of ready members.
// n is 0 when the timeout expires. Timeout and mask are as in [Poll]. It is one
// ppoll(2), and another one if the set was changed during it. Errors:
// [os.ErrClosed], the set or a member was closed; EBUSY, another goroutine
// waits; *[InterruptedError]; and those of ppoll(2).
func (s *PollSet) Wait(timeout time.Duration, mask *SigSet) (n int, err error) {
	if s == nil {
		return 0, os.ErrInvalid
	}
	c := s.get()
	var buf SigSet
	w := pollWait{mask: mask, blocked: waitMask(mask, &buf)}
	ts := w.limit.set(timeout)
	if mask != nil && timeout > 0 {
		w.limit.start()
	}
	fds, err := c.begin(timeout != 0)
	if err != nil {
		return 0, err
	}
	var errno unix.Errno
	if tracing.Load() == nil {
		n, errno = sysPpoll(unsafe.SliceData(fds), len(fds), ts, w.blocked)
	} else {
		n, errno = callPpoll(fds, ts, w.blocked)
	}
	n, err = c.waitOn(context.Background(), &w, fds, n, errno)
	runtime.KeepAlive(s)
	return n, err
}

// WaitContext is Wait until ctx is done. It sleeps in ppoll(2), on a thread. A
// deadline of ctx is the limit of that call, and kept as exactly. In a context that
// can be cancelled it looks first, by a ppoll that does not wait. Errors: ctx.Err();
// and those of Wait.
func (s *PollSet) WaitContext(ctx context.Context) (n int, err error) {
	if s == nil {
		return 0, os.ErrInvalid
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	defer runtime.KeepAlive(s)
	c := s.get()
	if ctx.Done() == nil {
		return c.wait(ctx, Forever)
	}
	if n, err := c.wait(ctx, 0); n != 0 || err != nil {
		return n, err
	}
	return c.waitDone(ctx)
}

// waitDone sleeps until ctx is done.
func (c *pollCore) waitDone(ctx context.Context) (n int, err error) {
	limit := Forever
	deadline, timed := ctx.Deadline()
	if timed {
		limit = max(0, time.Until(deadline))
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.state.Load()&stateWaiting != 0 {
			c.poke()
		}
	})
	defer stop()
	n, err = c.wait(ctx, limit)
	if timed && n == 0 && err == nil { // ctx itself has not seen it yet, perhaps
		err = context.DeadlineExceeded
	}
	return n, err
}

// pollWait is the state of a wait that takes several calls.
type pollWait struct {
	limit         limit
	mask, blocked *SigSet
}

// wait waits in ctx, which may be done already.
func (c *pollCore) wait(ctx context.Context, timeout time.Duration) (int, error) {
	var w pollWait
	n, fds, errno, err := c.waitStep(ctx, &w, w.limit.set(timeout))
	if err != nil {
		return 0, err
	}
	return c.waitOn(ctx, &w, fds, n, errno)
}

// waitStep begins a wait and makes its call.
func (c *pollCore) waitStep(ctx context.Context, w *pollWait, ts *timespec) (n int, fds []PollFD, errno unix.Errno, err error) {
	if fds, err = c.begin(!ts.isZero()); err != nil {
		return 0, nil, 0, err
	}
	// Only now: a context that is done from here on pokes.
	if err := ctx.Err(); err != nil {
		c.end(0, nil)
		return 0, nil, 0, err
	}
	n, errno = callPpoll(fds, ts, w.blocked)
	return n, fds, errno, nil
}

// waitOn takes in the result of a wait's call on fds, and makes more of them until
// the wait is over.
func (c *pollCore) waitOn(ctx context.Context, w *pollWait, fds []PollFD, n int, errno unix.Errno) (int, error) {
	for {
		var again bool
		var err error
		if errno != 0 {
			n, err = repeatPpoll(errno, fds, &w.limit, w.mask, w.blocked)
		} else if n > 0 {
			raceSeen()
		}
		if again, n, err = c.end(n, err); err != nil {
			return 0, err
		}
		if !again {
			return n, nil
		}
		if n, fds, errno, err = c.waitStep(ctx, w, w.limit.next()); err != nil {
			return 0, err
		}
	}
}

// begin makes the caller the waiter, and returns the slots to poll. A wait that
// does not sleep needs no wake.
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
	// Set early: if nothing has changed, another wait can begin without mu.
	if c.state.Or(stateWaiting)&stateWaiting != 0 {
		return nil, errSetBusy
	}
	if err := c.prepare(sleeps); err != nil {
		c.state.And(^uint32(stateWaiting))
		return nil, err
	}
	var s uint32 = stateWaiting
	if c.wake < 0 {
		s |= stateNoWake
	}
	c.state.Store(s)
	c.ready = 0
	return c.slots(sleeps), nil
}

// prepare applies the changes since the last wait. c.mu is held, and
// stateWaiting is the caller's.
func (c *pollCore) prepare(sleeps bool) error {
	switch {
	case c.closed:
		return os.ErrClosed
	case c.nclosed > 0:
		c.reportClosed()
		return os.ErrClosed
	}
	if sleeps && c.wake < 0 {
		fd, errno := callEventfd2(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if errno != 0 {
			return opEventfd2.fail(errno)
		}
		c.wake = fd
	}
	c.rebuild()
	return nil
}

// rebuild makes fds from the members. The slot of wake is the last: if a member
// is ready, the kernel does not queue on later slots.
func (c *pollCore) rebuild() {
	c.compact()
	was := len(c.polled)
	c.fds, c.polled = c.fds[:0], c.polled[:0]
	for i, m := range c.order {
		m.slot = i
		c.polled = append(c.polled, m)
		c.fds = append(c.fds, PollFD{FD: m.fd, Events: m.events})
	}
	if was > len(c.polled) {
		clear(c.polled[len(c.polled):was])
	}
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
		c.ready = n // before another wait can begin
		s := c.state.Load()
		if s&stateChanged == 0 && c.state.CompareAndSwap(s, s&^stateWaiting) {
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
	retired := c.retired
	c.retired = nil
	gone := c.forgetRemoved()
	if err == nil {
		n -= gone
		poked = poked || gone > 0
	}
	c.ready = n
	// stateChanged stays set while there is something to look at.
	c.state.And(^uint32(stateWaiting))
	switch {
	case c.closed:
		err = os.ErrClosed
		c.free()
	case c.nclosed > 0:
		err = os.ErrClosed
		c.reportClosed()
	}
	c.mu.Unlock()
	for _, m := range retired {
		if m.d == nil && !m.bare {
			go m.release() // which may sleep, and the waiter has other things to do
		} else {
			m.release()
		}
	}
	return err == nil && n == 0 && poked, n, err
}

// forgetRemoved takes the answers for members that were removed during the
// wait away, and returns how many there were. c.mu is held.
func (c *pollCore) forgetRemoved() (n int) {
	for i, m := range c.polled {
		if m == nil || !m.removed {
			continue
		}
		m.forgetSlot()
		if c.fds[i].Revents != 0 {
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
// close members; removed members are not yielded any more. After an error of
// Wait it yields nothing, or the members whose handles are closed.
func (s *PollSet) Ready() iter.Seq2[syscall.Conn, PollEvents] {
	return func(yield func(syscall.Conn, PollEvents) bool) {
		if s == nil {
			return
		}
		c := s.get()
		c.mu.Lock() // Close forgets them
		fds, left := c.fds, c.ready
		c.mu.Unlock()
		for i := 0; i < len(fds) && left > 0; i++ {
			ev := fds[i].Revents
			if ev == 0 {
				continue
			}
			left--
			if conn := c.polledAt(i); conn != nil && !yield(conn, ev) {
				return
			}
		}
		runtime.KeepAlive(s)
	}
}

// polledAt is the member of a slot, nil once it was removed.
func (c *pollCore) polledAt(i int) syscall.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i >= len(c.polled) || c.polled[i] == nil || c.polled[i].removed {
		return nil
	}
	return c.polled[i].conn
}

// Close removes all members and ends a wait with [os.ErrClosed], as it does all
// later calls. The remarks of Remove on duplicates hold for all members.
func (s *PollSet) Close() error {
	if s == nil {
		return os.ErrInvalid
	}
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
	c.members = nil
	if !c.changed() {
		c.free()
	}
	c.mu.Unlock()
	for _, m := range free {
		m.release()
	}
	return nil
}

// free closes wake, and forgets all members. c.mu is held, and no wait runs.
func (c *pollCore) free() {
	if c.wake >= 0 {
		callClose(c.wake)
		c.wake = -1
		c.state.Or(stateNoWake)
	}
	c.order, c.polled, c.fds, c.ready = nil, nil, nil, 0
}
