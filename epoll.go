//go:build linux

package efd

import (
	"math"
	"os"
	"slices"
	"syscall"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// EpollEvents is a set of epoll events and input flags. Bits without a name are
// kept. See epoll_ctl(2).
type EpollEvents uint32

// Events and input flags, by their own names. EPOLLWAKEUP is dropped silently by
// the kernel if the caller lacks CAP_BLOCK_SUSPEND.
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
// A registration belongs to an open file under an fd. If the fd is closed while
// a duplicate of it lives on, in another process perhaps, the registration
// stays, reports as before, and can no longer be changed: a ghost. Interest
// shows it. Add takes bare fds, so the caller has to Delete before it closes. A
// handle of this package that AddConn registered removes itself before it
// closes, and stays reachable until it is deleted or the Epoll closed.
//
// A loop that waits is ended by Close, and interrupted by Wake. Neither needs a
// descriptor of the caller's.
//
// Methods may be called from many goroutines. An Epoll that becomes unreachable
// without Close is closed by a runtime cleanup. The zero value is closed.
type Epoll struct {
	d    descriptor
	file *epollFile
	wake wakeup
}

// NewEpoll makes an epoll instance, close-on-exec. The first one makes an eventfd
// too, for the process, by which Close and Wake end waits. Errors: EMFILE, ENFILE
// and ENOMEM as in epoll_create1(2).
func NewEpoll() (*Epoll, error) {
	fd, errno := callEpollCreate1(unix.EPOLL_CLOEXEC)
	if errno != 0 {
		return nil, opEpollCreate1.fail(errno)
	}
	hasAlwaysReady() // if not, the first wait that sleeps tries again
	return newEpollFile().open(fd), nil
}

// Add registers fd for events, to be reported with data. A Wait under way takes
// it in. It is one epoll_ctl(2), EPOLL_CTL_ADD. For a handle AddConn is better: it
// leaves no ghost, and after FD each Read and Write of the handle costs more.
//
// Refused before the call: EBADF, fd is negative or above 2^31-1; EINVAL, fd is
// the epoll itself, or EPOLLEXCLUSIVE goes with something else than EPOLLIN,
// EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLWAKEUP and EPOLLET. Errors from the kernel:
// EBADF; EEXIST, fd is registered; ELOOP (for depth EINVAL on 5.10), epolls in a
// circle or more than five deep; EPERM, fd is a file or directory, which is
// always ready: use [Poll]; EINVAL, EPOLLEXCLUSIVE for an epoll; ENOSPC,
// fs.epoll.max_user_watches; ENOMEM.
func (p *Epoll) Add(fd int, events EpollEvents, data uint64) error {
	return p.ctl(ctlAdd, fd, events, data)
}

// Modify changes the registration of fd. It is one epoll_ctl(2), EPOLL_CTL_MOD.
// It arms a registration with EPOLLONESHOT again. Errors: ENOENT, fd is not
// registered; EINVAL, events has EPOLLEXCLUSIVE, or fd was added with it.
func (p *Epoll) Modify(fd int, events EpollEvents, data uint64) error {
	return p.ctl(ctlModify, fd, events, data)
}

// Delete takes fd's registration away. It is one epoll_ctl(2), EPOLL_CTL_DEL.
// Errors: ENOENT, fd is not registered; EBADF.
func (p *Epoll) Delete(fd int) error { return p.ctl(ctlDelete, fd, 0, 0) }

func (p *Epoll) ctl(m ctlMethod, fd int, events EpollEvents, data uint64) error {
	if err := p.acquire(); err != nil {
		return err
	}
	err := p.ctlAcquired(m, fd, events, data)
	p.d.release()
	return err
}

func (p *Epoll) ctlAcquired(m ctlMethod, fd int, events EpollEvents, data uint64) error {
	switch {
	case fd < 0 || fd > math.MaxInt32: // the kernel would take the low 32 bits
		return badArg(unix.EBADF, "Epoll.%s: fd %d: want an open descriptor", m.String(), fd)
	case fd == int(p.d.fd):
		return badArg(unix.EINVAL, "Epoll.%s: fd %d is the epoll's own", m.String(), fd)
	}
	if events&EPOLLEXCLUSIVE != 0 {
		if err := checkExclusive(m, fd, events); err != nil {
			return err
		}
	}
	ev := NewEpollEvent(events, data)
	if errno := callEpollCtl(int(p.d.fd), m.op(), fd, &ev); errno != 0 {
		return m.fail(errno, fd)
	}
	return nil
}

// AddConn is Add for the descriptor of c, whose number is held for the call;
// [ConnOf] makes a syscall.Conn of a net.Conn. A
// handle of this package that closes later takes itself out first. Any other
// Conn has to be deleted before it is closed, if a duplicate of it may live on.
// Errors: as Add; [os.ErrClosed], the Epoll or c is closed.
func (p *Epoll) AddConn(c syscall.Conn, events EpollEvents, data uint64) error {
	return p.ctlConn(ctlAddConn, c, events, data)
}

// ModifyConn is Modify for the descriptor of c.
func (p *Epoll) ModifyConn(c syscall.Conn, events EpollEvents, data uint64) error {
	return p.ctlConn(ctlModifyConn, c, events, data)
}

// DeleteConn is Delete for the descriptor of c.
func (p *Epoll) DeleteConn(c syscall.Conn) error {
	return p.ctlConn(ctlDeleteConn, c, 0, 0)
}

func (p *Epoll) ctlConn(m ctlMethod, c syscall.Conn, events EpollEvents, data uint64) error {
	if err := p.acquire(); err != nil {
		return err
	}
	defer p.d.release()
	switch h := c.(type) {
	case *EventFD:
		if h == nil {
			return errNilConn
		}
		return p.ctlHandle(m, &h.d, events, data)
	case *Epoll:
		if h == nil {
			return errNilConn
		}
		if m == ctlAddConn && events&EPOLLEXCLUSIVE != 0 {
			return badArg(unix.EINVAL, "Epoll.AddConn: fd %d: EPOLLEXCLUSIVE cannot be given to an epoll", int(h.d.fd))
		}
		return p.ctlHandle(m, &h.d, events, data)
	case nil:
		return errNilConn
	}
	var ctlErr error
	if err := control(c, func(fd uintptr) { ctlErr = p.ctlAcquired(m, int(fd), events, data) }); err != nil {
		return err
	}
	return ctlErr
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
	if err := p.acquire(); err != nil {
		return nil, err
	}
	defer p.d.release()
	text, err := readFDInfo("Epoll.Interest", int(p.d.fd))
	if err != nil {
		return nil, err
	}
	// The wake entry is not the caller's registration.
	return slices.DeleteFunc(parseInterest(text), func(r Interest) bool { return r.Data == p.file.wakeKey }), nil
}

// BusyPoll says how Wait polls network devices, struct epoll_params. See
// ioctl_eventpoll(2).
type BusyPoll struct {
	Usecs  uint32 // microseconds to poll for, at most 2^31-1; 0: do not
	Budget uint16 // packets to take at a time; above 64 needs CAP_NET_ADMIN
	Prefer bool   // defer the device's interrupts during the polling
}

// BusyPoll returns the values that SetBusyPoll set. It is ioctl(2) with
// EPIOCGPARAMS. Errors: ENOTTY or EINVAL, before Linux 6.9; EOPNOTSUPP, a
// kernel without CONFIG_NET_RX_BUSY_POLL; [os.ErrClosed].
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
	if err := p.acquire(); err != nil {
		return err
	}
	errno := callEpollParams(int(p.d.fd), req, k)
	p.d.release()
	switch {
	case errno == unix.EPERM && req == unix.EPIOCSPARAMS:
		return &callError{sprintf("SetBusyPoll: Budget %d: above 64 wants CAP_NET_ADMIN", k.budget), opIoctl.fail(errno)}
	case errno != 0:
		return opIoctl.fail(errno)
	}
	return nil
}

// FD returns the descriptor's number, or -1 once the handle is closed, as
// [EventFD.FD] does.
func (p *Epoll) FD() int {
	if p == nil {
		return -1
	}
	return p.d.sysfd()
}

// SyscallConn returns the descriptor for raw use, as [EventFD.SyscallConn]
// does.
func (p *Epoll) SyscallConn() (syscall.RawConn, error) {
	if err := p.acquire(); err != nil {
		return nil, err
	}
	defer p.d.release()
	return rawConn{&p.d, p.poller}, nil
}

// Dup makes a second handle for the same epoll, to be closed on its own. They
// share the registrations and the ready events: an event goes to a wait of the
// one or of the other. Errors: EMFILE; [os.ErrClosed]. See F_DUPFD_CLOEXEC in
// fcntl(2).
func (p *Epoll) Dup() (*Epoll, error) {
	if err := p.acquire(); err != nil {
		return nil, err
	}
	defer p.d.release()
	fd, err := p.d.dup()
	if err != nil {
		return nil, err
	}
	return p.file.open(fd), nil
}

// File returns a duplicate as an os.File named "epoll", for ExtraFiles of an
// exec.Cmd, SCM_RIGHTS and the like. The caller closes it. Errors: EMFILE;
// [os.ErrClosed].
func (p *Epoll) File() (*os.File, error) {
	if err := p.acquire(); err != nil {
		return nil, err
	}
	defer p.d.release()
	fd, err := p.d.dup()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "epoll"), nil
}

// Detach ends the handle as Close does, and gives its descriptor away: the fd
// itself, or a duplicate if another goroutine uses the handle or a wait of it
// has been in the runtime netpoller. Registrations stay, also the handles that
// AddConn registered, which the caller has to delete before they close. Errors:
// EMFILE; [os.ErrClosed].
func (p *Epoll) Detach() (fd int, err error) {
	if err := p.acquire(); err != nil {
		return -1, err
	}
	defer p.d.release()
	if fd, err = p.d.detach(); err != nil {
		return -1, err
	}
	p.file.drop(p)
	p.endWaits()
	return fd, nil
}

// Close ends the handle immediately, and with it the waits of others, in
// [os.ErrClosed]: it is the way to stop an event loop. Events that a wait has
// taken when Close comes are lost. The last user closes the descriptor. If
// others have a duplicate of it, the registrations stay for them. A second
// Close returns [os.ErrClosed].
func (p *Epoll) Close() error {
	// The reference keeps the fd valid after close.
	if err := p.acquire(); err != nil {
		return err
	}
	defer p.d.release()
	if err := p.d.close(); err != nil {
		return err
	}
	p.file.drop(p)
	p.endWaits()
	return nil
}

// acquire is descriptor.acquire with an error, for a handle that may be nil.
func (p *Epoll) acquire() error {
	switch {
	case p == nil:
		return os.ErrInvalid
	case !p.d.acquire():
		return os.ErrClosed
	}
	return nil
}
