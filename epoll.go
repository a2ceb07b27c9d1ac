//go:build linux

package efd

import (
	"context"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"weak"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// EpollEvents is a set of epoll events and input flags. Bits without a name are
// kept. See epoll_ctl(2).
type EpollEvents uint32

// Events and input flags, by their own names. EPOLLWAKEUP is dropped silently by
// the kernel where the caller lacks CAP_BLOCK_SUSPEND.
const (
	EPOLLIN        EpollEvents = unix.EPOLLIN
	EPOLLPRI       EpollEvents = unix.EPOLLPRI
	EPOLLOUT       EpollEvents = unix.EPOLLOUT
	EPOLLERR       EpollEvents = unix.EPOLLERR
	EPOLLHUP       EpollEvents = unix.EPOLLHUP
	EPOLLRDNORM    EpollEvents = unix.EPOLLRDNORM
	EPOLLRDBAND    EpollEvents = unix.EPOLLRDBAND
	EPOLLWRNORM    EpollEvents = unix.EPOLLWRNORM
	EPOLLWRBAND    EpollEvents = unix.EPOLLWRBAND
	EPOLLMSG       EpollEvents = unix.EPOLLMSG
	EPOLLRDHUP     EpollEvents = unix.EPOLLRDHUP
	EPOLLEXCLUSIVE EpollEvents = unix.EPOLLEXCLUSIVE
	EPOLLWAKEUP    EpollEvents = unix.EPOLLWAKEUP
	EPOLLONESHOT   EpollEvents = unix.EPOLLONESHOT
	EPOLLET        EpollEvents = 1 << 31
)

// String is the set as strace prints it: "EPOLLIN|EPOLLET".
func (ev EpollEvents) String() string { return uapi.EpollEvents.String(uint64(ev)) }

// Epoll is an epoll instance. See epoll(7).
//
// A registration belongs to an open file under a number. Where the number is
// closed while a duplicate of it lives on, in another process perhaps, the
// registration stays, reports as before, and can no longer be changed: a ghost.
// Interest shows it. Add takes bare numbers, so there it is the caller that has
// to Delete before it closes. A handle of this package that AddConn registered
// takes itself out before it closes, and is kept from the collector until it is
// deleted or the Epoll closed.
//
// Methods may be called from many goroutines. An Epoll that is lost without
// Close is closed by the collector in the end. The zero value is closed.
type Epoll struct {
	d    descriptor
	self weak.Pointer[Epoll]

	mu   sync.Mutex
	held map[*descriptor]struct{} // what AddConn registered, kept from the collector
}

// NewEpoll makes an epoll instance, close-on-exec. Errors: EMFILE, ENFILE and
// ENOMEM as in epoll_create1(2).
func NewEpoll() (*Epoll, error) {
	fd, errno := callEpollCreate1(unix.EPOLL_CLOEXEC)
	if errno != 0 {
		return nil, opEpollCreate1.fail(errno)
	}
	p := new(Epoll)
	p.d.init(fd, 0)
	p.d.cleanup = runtime.AddCleanup(p, closeLost, p.d.fd)
	p.self = weak.Make(p)
	return p, nil
}

// Add registers fd for events, to be reported with data. It is one epoll_ctl(2),
// EPOLL_CTL_ADD.
//
// Refused before the call: EBADF, fd is negative or above 2^31-1; EINVAL, fd is
// the epoll itself, or EPOLLEXCLUSIVE goes with something else than EPOLLIN,
// EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLWAKEUP and EPOLLET. Errors from the kernel:
// EBADF; EEXIST, fd is registered; ELOOP (for depth EINVAL on 5.10), epolls in a
// circle or more than five deep; EPERM, fd is a file or directory, which is
// always ready: use [Poll]; EINVAL, EPOLLEXCLUSIVE for an epoll; ENOSPC,
// fs.epoll.max_user_watches; ENOMEM.
func (p *Epoll) Add(fd int, events EpollEvents, data uint64) error {
	return p.ctl(unix.EPOLL_CTL_ADD, fd, events, data)
}

// Modify changes what fd is registered with. It is one epoll_ctl(2),
// EPOLL_CTL_MOD. It arms a registration with EPOLLONESHOT again. Errors:
// ENOENT, fd is not registered; EINVAL, events has EPOLLEXCLUSIVE, or fd was
// added with it.
func (p *Epoll) Modify(fd int, events EpollEvents, data uint64) error {
	return p.ctl(unix.EPOLL_CTL_MOD, fd, events, data)
}

// Delete takes fd's registration away. It is one epoll_ctl(2), EPOLL_CTL_DEL.
// Errors: ENOENT, fd is not registered; EBADF.
func (p *Epoll) Delete(fd int) error { return p.ctl(unix.EPOLL_CTL_DEL, fd, 0, 0) }

func (p *Epoll) ctl(op, fd int, events EpollEvents, data uint64) error {
	if !p.d.acquire() {
		return os.ErrClosed
	}
	err := p.ctlAcquired(op, fd, events, data)
	p.d.release()
	return err
}

func (p *Epoll) ctlAcquired(op, fd int, events EpollEvents, data uint64) error {
	switch {
	case fd < 0 || fd > math.MaxInt32: // the kernel would take the low 32 bits
		return badArg(unix.EBADF, "Epoll: fd %d: want an open descriptor", fd)
	case fd == int(p.d.fd):
		return badArg(unix.EINVAL, "Epoll: fd %d is the epoll's own", fd)
	}
	if events&EPOLLEXCLUSIVE != 0 {
		if err := checkExclusive(op, events); err != nil {
			return err
		}
	}
	ev := makeEpollEvent(events, data)
	if errno := callEpollCtl(int(p.d.fd), op, fd, &ev); errno != 0 {
		return opEpollCtl.fail(errno)
	}
	return nil
}

// checkExclusive refuses what EPOLLEXCLUSIVE does not go with.
func checkExclusive(op int, events EpollEvents) error {
	const allowed = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE
	if op == unix.EPOLL_CTL_MOD {
		return badArg(unix.EINVAL, "Epoll: events %s: EPOLLEXCLUSIVE can be given to Add only", events.String())
	}
	if bad := events &^ allowed; bad != 0 {
		return badArg(unix.EINVAL, "Epoll: events %s: EPOLLEXCLUSIVE goes with EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLWAKEUP and EPOLLET, not with %s", events.String(), bad.String())
	}
	return nil
}

// AddConn is Add for the descriptor of c, whose number is held for the call. A
// handle of this package that closes later takes itself out first. Any other
// Conn has to be deleted before it is closed, where a duplicate of it may live on.
// Errors: as Add; [os.ErrClosed], the Epoll or c is closed.
func (p *Epoll) AddConn(c syscall.Conn, events EpollEvents, data uint64) error {
	return p.ctlConn(unix.EPOLL_CTL_ADD, c, events, data)
}

// ModifyConn is Modify for the descriptor of c.
func (p *Epoll) ModifyConn(c syscall.Conn, events EpollEvents, data uint64) error {
	return p.ctlConn(unix.EPOLL_CTL_MOD, c, events, data)
}

// DeleteConn is Delete for the descriptor of c.
func (p *Epoll) DeleteConn(c syscall.Conn) error {
	return p.ctlConn(unix.EPOLL_CTL_DEL, c, 0, 0)
}

func (p *Epoll) ctlConn(op int, c syscall.Conn, events EpollEvents, data uint64) error {
	switch h := c.(type) {
	case *EventFD:
		return p.ctlHandle(op, &h.d, events, data)
	case *Epoll:
		if op == unix.EPOLL_CTL_ADD && events&EPOLLEXCLUSIVE != 0 {
			return badArg(unix.EINVAL, "Epoll: EPOLLEXCLUSIVE cannot be given to an epoll")
		}
		return p.ctlHandle(op, &h.d, events, data)
	case nil:
		return badArg(unix.EBADF, "Epoll: Conn is nil")
	}
	var ctlErr error
	if err := control(c, func(fd uintptr) { ctlErr = p.ctl(op, int(fd), events, data) }); err != nil {
		return err
	}
	return ctlErr
}

// epollWatch takes a registration out of an Epoll before its number is closed.
type epollWatch struct{ p weak.Pointer[Epoll] }

func (w epollWatch) closing(d *descriptor) {
	if p := w.p.Value(); p != nil && p.d.acquire() {
		p.mu.Lock()
		callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_DEL, int(d.fd), nil)
		delete(p.held, d)
		p.mu.Unlock()
		p.d.release()
	}
}

func (w epollWatch) gone() bool { return w.p.Value() == nil }

// ctlHandle registers a handle of this package. p.mu makes the call and the
// note of it one step.
func (p *Epoll) ctlHandle(op int, d *descriptor, events EpollEvents, data uint64) error {
	if !d.acquire() {
		return os.ErrClosed
	}
	defer d.release()
	if !p.d.acquire() {
		return os.ErrClosed
	}
	defer p.d.release()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.d.closed() {
		return os.ErrClosed
	}
	if err := p.ctlAcquired(op, int(d.fd), events, data); err != nil {
		return err
	}
	switch op {
	case unix.EPOLL_CTL_ADD:
		if !d.watch(epollWatch{p.self}) {
			callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_DEL, int(d.fd), nil)
			return os.ErrClosed
		}
		if p.held == nil {
			p.held = map[*descriptor]struct{}{}
		}
		p.held[d] = struct{}{}
	case unix.EPOLL_CTL_DEL:
		d.unwatch(epollWatch{p.self})
		delete(p.held, d)
	}
	return nil
}

var errNoRoom = badArg(unix.EINVAL, "Epoll.Wait: events has no room")

// Wait waits for events, stores as many as there are room for, and returns how
// many. n is 0 when the time is over. Timeout and mask are as in [Poll].
//
// It is one epoll_pwait(2), repeated with the time left where a signal ended
// it. A limit that is no whole number of milliseconds, or above 24.8 days, is
// epoll_pwait2(2). On kernels before 5.11, and under filters that refuse that
// call, such a limit is rounded up to the next millisecond. With timeout 0 the
// kernel looks for no signal, so that a pending one does not end it.
//
// Errors: EINVAL, events has no room; *[InterruptedError]; [os.ErrClosed].
func (p *Epoll) Wait(events []EpollEvent, timeout time.Duration, mask *SigSet) (n int, err error) {
	if len(events) == 0 {
		return 0, errNoRoom
	}
	if !p.d.acquire() {
		return 0, os.ErrClosed
	}
	n, err = p.wait(events, timeout, mask)
	if n > 0 {
		raceSeen()
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

const longestPwait = math.MaxInt32 * time.Millisecond

// wait is Wait while the number is acquired.
func (p *Epoll) wait(events []EpollEvent, timeout time.Duration, mask *SigSet) (int, error) {
	var buf SigSet
	blocked := waitMask(mask, &buf)
	var start time.Duration
	if timeout > 0 {
		start = monotonic()
	}
	n, call, errno := p.waitOnce(events, timeout, blocked)
	if errno != 0 {
		return p.repeatWait(errno, call, events, timeout, start, mask, blocked)
	}
	return n, nil
}

// errMore stands beside the errnos: the time is not over, though one call
// cannot wait longer than it did.
const errMore unix.Errno = 1 << 20

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

// repeatWait goes on after a call that failed with errno, with what is left of
// timeout since start.
func (p *Epoll) repeatWait(errno unix.Errno, call op, events []EpollEvent, timeout, start time.Duration, mask, blocked *SigSet) (n int, err error) {
	for errno != 0 {
		left := timeout
		if timeout > 0 {
			left = max(0, timeout-(monotonic()-start))
		}
		switch {
		case p.d.closed():
			return 0, os.ErrClosed
		case errno == errMore, errno == unix.EINTR && mask == nil:
		case errno == unix.EINTR:
			return 0, &InterruptedError{opNames[call], left}
		case call == opEpollPwait2 && (errno == unix.ENOSYS || errno == unix.EPERM):
			noPwait2.Store(true)
		default:
			return 0, call.fail(errno)
		}
		n, call, errno = p.waitOnce(events, left, blocked)
	}
	return n, nil
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
// holds no thread. The end of one wait leaves the others alone. Where ctx is
// done already, no event is taken. A deadline of ctx is kept to about a
// millisecond.
//
// The first such wait sets O_NONBLOCK, which an epoll has no other use for, and
// puts the epoll into that of Go's runtime: one level of nesting more, so that
// ELOOP comes one earlier. The runtime then polls the members of the epoll on its
// own threads, with calls that do not reach its scheduler. So a member whose poll
// sleeps, such as a FUSE file, holds up the program, and one that the program
// serves itself hangs it: use Wait for these. Errors: ctx.Err(); EINVAL, events has no room;
// [os.ErrClosed].
func (p *Epoll) WaitContext(ctx context.Context, events []EpollEvent) (int, error) {
	if len(events) == 0 {
		return 0, errNoRoom
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !p.d.acquire() {
		return 0, os.ErrClosed
	}
	n, err := p.waitContext(ctx, events)
	p.d.release()
	return n, err
}

func (p *Epoll) waitContext(ctx context.Context, events []EpollEvent) (int, error) {
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
	n, errno := s.n, s.errno
	s.leave()
	switch {
	case err != nil:
		return 0, err
	case p.d.closed(): // what it saw may be alwaysReady
		return 0, os.ErrClosed
	case errno != 0:
		return 0, opEpollPwait.fail(errno)
	}
	raceSeen()
	return n, nil
}

func (p *Epoll) poller() (*poller, error) {
	if g := p.d.poller(); g != nil {
		return g, g.err
	}
	// Go's poller takes what is non-blocking. An epoll's own calls ignore the flag.
	if _, errno := callFcntl(int(p.d.fd), unix.F_SETFL, unix.O_RDWR|unix.O_NONBLOCK); errno != 0 {
		return nil, opFcntl.fail(errno)
	}
	return p.d.getPoller(p.setupPoller)
}

func (p *Epoll) setupPoller(g *poller) {
	s := &g.reader
	s.try = func(uintptr) bool {
		for {
			s.n, s.errno = callEpollPwait(int(p.d.fd), s.events, 0, nil)
			if s.errno != unix.EINTR {
				return s.n > 0 || s.errno != 0
			}
		}
	}
}

// Interest is one registration of an [Epoll].
type Interest struct {
	FD     int         // under which it was added; it may be closed by now, or another file
	Events EpollEvents // as the kernel keeps them: with EPOLLERR|EPOLLHUP added, the flags alone once EPOLLONESHOT is spent
	Data   uint64
}

// Interest lists the registrations, from the tfd lines of /proc/self/fdinfo.
// Ghosts are among them. See proc_pid_fdinfo(5). Errors: ENOENT, /proc is not
// mounted; [os.ErrClosed].
func (p *Epoll) Interest() ([]Interest, error) {
	if !p.d.acquire() {
		return nil, os.ErrClosed
	}
	defer p.d.release()
	text, err := readFDInfo(int(p.d.fd))
	if err != nil {
		return nil, err
	}
	return parseInterest(text), nil
}

// BusyPoll says how Wait polls network devices, struct epoll_params. See
// ioctl_eventpoll(2).
type BusyPoll struct {
	Usecs  uint32 // microseconds to poll for, at most 2^31-1; 0: do not
	Budget uint16 // packets to take at a time; above 64 needs CAP_NET_ADMIN
	Prefer bool   // put off the device's interrupts meanwhile
}

// BusyPoll returns what SetBusyPoll set. It is ioctl(2) with EPIOCGPARAMS.
// Errors: ENOTTY or EINVAL, before Linux 6.9; EOPNOTSUPP, a kernel without
// CONFIG_NET_RX_BUSY_POLL; [os.ErrClosed].
func (p *Epoll) BusyPoll() (BusyPoll, error) {
	var k epollParams
	if err := p.params(unix.EPIOCGPARAMS, &k); err != nil {
		return BusyPoll{}, err
	}
	return BusyPoll{k.usecs, k.budget, k.prefer != 0}, nil
}

// SetBusyPoll is ioctl(2) with EPIOCSPARAMS. Errors: EINVAL, Usecs is above
// 2^31-1; EPERM, Budget is above 64 without CAP_NET_ADMIN; and those of
// BusyPoll.
func (p *Epoll) SetBusyPoll(b BusyPoll) error {
	if b.Usecs > math.MaxInt32 {
		return badArg(unix.EINVAL, "SetBusyPoll: Usecs %d: want at most %d", b.Usecs, math.MaxInt32)
	}
	k := epollParams{usecs: b.Usecs, budget: b.Budget}
	if b.Prefer {
		k.prefer = 1
	}
	return p.params(unix.EPIOCSPARAMS, &k)
}

func (p *Epoll) params(req uint32, k *epollParams) error {
	if !p.d.acquire() {
		return os.ErrClosed
	}
	errno := callEpollParams(int(p.d.fd), req, k)
	p.d.release()
	if errno != 0 {
		return opIoctl.fail(errno)
	}
	return nil
}

// FD returns the descriptor's number, or -1 once the handle is closed, as
// [EventFD.FD] does.
func (p *Epoll) FD() int { return p.d.number() }

// SyscallConn returns the descriptor for raw use, as [EventFD.SyscallConn]
// does.
func (p *Epoll) SyscallConn() (syscall.RawConn, error) {
	if p.d.closed() {
		return nil, os.ErrClosed
	}
	return rawConn{&p.d, p.poller}, nil
}

// Close ends the handle at once, and with it the waits of others, in
// [os.ErrClosed]. The last user closes the descriptor. A second Close returns
// [os.ErrClosed].
func (p *Epoll) Close() error {
	// The hold is what lets the number be used after close.
	if !p.d.acquire() {
		return os.ErrClosed
	}
	err := p.d.close()
	if err == nil {
		p.forget()
		p.wakeSleepers()
	}
	p.d.release()
	return err
}

// forget has nobody tell p any more that a registered handle closes.
func (p *Epoll) forget() {
	p.mu.Lock()
	held := p.held
	p.held = nil
	p.mu.Unlock()
	for d := range held {
		d.unwatch(epollWatch{p.self})
	}
}

// alwaysReady is an eventfd that is readable for good, one for all: registered
// in an epoll, it ends the waits there.
var alwaysReady struct {
	sync.Mutex
	fd   int
	made bool
}

// wakeSleepers ends the Waits of a closing epoll. The number is the caller's.
func (p *Epoll) wakeSleepers() {
	if p.alone() || p.addAlwaysReady() {
		return
	}
	// No descriptor or no memory is left, or no watch (fs.epoll.max_user_watches).
	p.d.state.Add(1)
	go func() {
		for !p.alone() && !p.addAlwaysReady() {
			time.Sleep(time.Millisecond)
		}
		p.d.release()
	}()
}

// alone reports whether nobody else than the caller uses the closed epoll.
func (p *Epoll) alone() bool { return p.d.state.Load()&(isOpen-1) == 1 }

func (p *Epoll) addAlwaysReady() bool {
	w := &alwaysReady
	w.Lock()
	defer w.Unlock()
	if !w.made {
		fd, errno := callEventfd2(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if errno != 0 {
			return false
		}
		w.fd, w.made = fd, true
	}
	ev := makeEpollEvent(EPOLLIN, 0)
	return callEpollCtl(int(p.d.fd), unix.EPOLL_CTL_ADD, w.fd, &ev) == 0
}
