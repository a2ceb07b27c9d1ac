//go:build linux

package efd

import (
	"errors"
	"math"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// EventFD is an eventfd, a 64-bit counter in the kernel. Writes add to it, and
// reads take it, whole or, with [Semaphore], by 1. It is readable while it is
// above 0 and writable while it is below [MaxCount]. See eventfd(2).
//
// Its methods may be called from many goroutines. An EventFD that becomes
// unreachable without Close is closed by a runtime cleanup. The zero value is
// closed.
//
// Read and Write of a handle that New made without Blocking bypass Go's
// scheduler: an eventfd with O_NONBLOCK does not sleep. FD, SyscallConn, Dup and
// File let others clear O_NONBLOCK, and so does adoption by [FromFD] or [AdoptFD].
// From then on Read and Write enter the scheduler, which costs some 40 ns each.
type EventFD struct{ d descriptor }

// Flag is a property of a new [EventFD].
type Flag uint32

const (
	// Semaphore is EFD_SEMAPHORE: each Read takes 1 and returns 1.
	Semaphore Flag = unix.EFD_SEMAPHORE
	// Blocking leaves EFD_NONBLOCK out: Read and Write sleep in the kernel,
	// each on a thread of its own. Close does not interrupt blocked calls; the
	// last one to return closes the descriptor. ReadContext and WriteContext
	// refuse such a handle.
	Blocking Flag = 1 << 31
)

// MaxCount is the largest count that a write can reach. The kernel's own
// signallers, such as AIO and KVM, can reach MaxCount + 1, which polls as POLLERR.
const MaxCount uint64 = 1<<64 - 2

var (
	errTooMuch     = badArg(unix.EINVAL, "count 2^64-1: an eventfd takes at most 2^64-2")
	errBlockingCtx = badArg(unix.EINVAL, "the handle is Blocking, or came to FromFD without O_NONBLOCK, and cannot wait in Go's poller: want New without Blocking, or unix.SetNonblock before FromFD")
)

// New makes an eventfd whose counter is initval. It is close-on-exec, and
// non-blocking unless flags has [Blocking]. Errors: EINVAL, flags has an
// unknown bit; EMFILE, ENFILE, ENODEV and ENOMEM as in eventfd2(2).
func New(initval uint32, flags Flag) (*EventFD, error) {
	own, err := flags.own()
	if err != nil {
		return nil, err
	}
	kernel := unix.EFD_CLOEXEC | uint32(flags&Semaphore)
	if flags&Blocking == 0 {
		kernel |= unix.EFD_NONBLOCK
	}
	fd, errno := callEventfd2(initval, kernel)
	if errno != 0 {
		return nil, opEventfd2.fail(errno)
	}
	return newEventFD(fd, own), nil
}

// own returns the flags of a descriptor.
func (f Flag) own() (flags uint32, err error) {
	if unknown := f &^ (Semaphore | Blocking); unknown != 0 {
		return 0, badArg(unix.EINVAL, "flags %#x: want Semaphore, Blocking or both; EFD_CLOEXEC is always set, and EFD_NONBLOCK unless Blocking is", uint32(unknown))
	}
	if f&Blocking != 0 {
		flags |= flagBlocking
	}
	if f&Semaphore != 0 {
		flags |= flagSemaphore
	}
	return flags, nil
}

func newEventFD(fd int, flags uint32) *EventFD {
	e := new(EventFD)
	e.d.init(fd, flags)
	e.d.cleanup = runtime.AddCleanup(e, closeUnreachable, e.d.fd)
	return e
}

// FromFD takes over fd, an eventfd that was made elsewhere or came by
// SCM_RIGHTS or exec. It sets FD_CLOEXEC. It does not change O_NONBLOCK, which
// all holders of the open file share: without it the handle is [Blocking].
// After an error fd is still the caller's. fd must not be that of another
// handle: Dup makes a second.
//
// It reads the file type in /proc/self/fdinfo. Errors: EINVAL, fd is not an
// eventfd; EBADF, fd is not open; ENOENT, /proc is not mounted.
func FromFD(fd int) (*EventFD, error) {
	info, err := readEventFDInfo("FromFD", fd)
	if errors.Is(err, errNoEventFD) {
		return nil, badArg(unix.EINVAL, "FromFD: fd %d is %s, and not an eventfd", fd, fileOf(fd))
	}
	if err != nil {
		return nil, err
	}
	if _, errno := callFcntl(fd, unix.F_SETFD, unix.FD_CLOEXEC); errno != 0 {
		return nil, opFcntl.fail(errno)
	}
	flags := uint32(flagShared)
	if info.Flags&unix.O_NONBLOCK == 0 {
		flags |= flagBlocking
	}
	if info.Semaphore {
		flags |= flagSemaphore
	}
	return newEventFD(fd, flags), nil
}

// fileOf names the file of fd, as /proc does: a path, or a kind such as
// "socket:[4711]".
func fileOf(fd int) string {
	var buf [128]byte
	if link := readFDLink(fd, buf[:]); len(link) > 0 {
		return string(link)
	}
	return "another file"
}

// AdoptFD is [FromFD] without /proc, for a caller that made the eventfd itself:
// nothing is checked but that fd is open. It sets FD_CLOEXEC, by one fcntl(2). After
// an error fd is still the caller's. Errors: EINVAL, flags has an unknown bit; EBADF,
// fd is not open.
//
// flags say how it was made. Without [Semaphore], Info asks the kernel. Without
// [Blocking], ReadContext waits as it should though the file lacks O_NONBLOCK, while
// Read sleeps in the kernel then: for an eventfd of which that is not known.
func AdoptFD(fd int, flags Flag) (*EventFD, error) {
	own, err := flags.own()
	if err != nil {
		return nil, err
	}
	if fd < 0 || fd > math.MaxInt32 {
		return nil, badArg(unix.EBADF, "AdoptFD: fd %d: want an open descriptor", fd)
	}
	if _, errno := callFcntl(fd, unix.F_SETFD, unix.FD_CLOEXEC); errno != 0 {
		return nil, &callError{sprintf("AdoptFD: fd %d: want an open descriptor", fd), opFcntl.fail(errno)}
	}
	return newEventFD(fd, own|flagShared), nil
}

// Read returns the counter and sets it to 0, or returns 1 and takes 1 off with
// [Semaphore]. It is one read(2), repeated if a signal ended it. Errors:
// EAGAIN, the counter is 0 (a [Blocking] handle sleeps instead); [os.ErrClosed].
func (e *EventFD) Read() (v uint64, err error) {
	if e == nil {
		return 0, os.ErrInvalid
	}
	if !e.d.acquire() {
		return 0, os.ErrClosed
	}
	raceRelease(&raceTaken)
	var errno unix.Errno
	if tracing.Load() == nil && !e.d.sleeps() {
		_, errno = sysReadNonblock(int(e.d.fd), &v)
	} else {
		_, errno = callRead(int(e.d.fd), &v, e.d.sleeps())
	}
	if errno == unix.EINTR {
		v, errno = e.read()
	}
	e.d.release()
	if errno != 0 {
		return 0, opRead.fail(errno)
	}
	raceAcquire(&raceWritten)
	return v, nil
}

// read is read(2), repeated if a signal ended it. The caller has acquired
// the number.
func (e *EventFD) read() (v uint64, errno unix.Errno) {
	raceRelease(&raceTaken)
	for {
		if tracing.Load() == nil && !e.d.sleeps() {
			_, errno = sysReadNonblock(int(e.d.fd), &v)
		} else {
			_, errno = callRead(int(e.d.fd), &v, e.d.sleeps())
		}
		if errno != unix.EINTR {
			break
		}
	}
	if errno == 0 {
		raceAcquire(&raceWritten)
	}
	return v, errno
}

// Write adds v to the counter. It is one write(2), repeated if a signal
// ended it. Errors: EAGAIN, the counter would pass [MaxCount] (a [Blocking]
// handle sleeps instead); EINVAL, v is above MaxCount; [os.ErrClosed].
func (e *EventFD) Write(v uint64) error {
	if e == nil {
		return os.ErrInvalid
	}
	if v > MaxCount {
		return errTooMuch
	}
	if !e.d.acquire() {
		return os.ErrClosed
	}
	raceRelease(&raceWritten)
	var errno unix.Errno
	if tracing.Load() == nil && !e.d.sleeps() {
		_, errno = sysWriteNonblock(int(e.d.fd), &v)
	} else {
		_, errno = callWrite(int(e.d.fd), &v, e.d.sleeps())
	}
	if errno == unix.EINTR {
		errno = e.write(v)
	}
	e.d.release()
	if errno != 0 {
		return opWrite.fail(errno)
	}
	raceAcquire(&raceTaken)
	return nil
}

// write is write(2), repeated like read.
func (e *EventFD) write(v uint64) (errno unix.Errno) {
	raceRelease(&raceWritten)
	for {
		if tracing.Load() == nil && !e.d.sleeps() {
			_, errno = sysWriteNonblock(int(e.d.fd), &v)
		} else {
			_, errno = callWrite(int(e.d.fd), &v, e.d.sleeps())
		}
		if errno != unix.EINTR {
			break
		}
	}
	if errno == 0 {
		raceAcquire(&raceTaken)
	}
	return errno
}

// Signal adds 1, by one write(2). A full counter is readable already, so EAGAIN
// is not an error, and a [Blocking] handle sleeps. For a waiter with EPOLLET a
// full counter gives no new edge: it has to read the counter after each event,
// or the writer has to Drain and write again. Only a Write of a large value can
// fill the counter. Errors: [os.ErrClosed].
func (e *EventFD) Signal() error {
	if e == nil {
		return os.ErrInvalid
	}
	if !e.d.acquire() {
		return os.ErrClosed
	}
	errno := e.write(1)
	e.d.release()
	if errno != 0 && errno != unix.EAGAIN {
		return opWrite.fail(errno)
	}
	return nil
}

// Drain is Read, for which an empty counter is 0 and no error: with [Semaphore]
// it takes 1. A [Blocking] handle sleeps until the counter is above 0. Errors:
// [os.ErrClosed].
func (e *EventFD) Drain() (uint64, error) {
	if e == nil {
		return 0, os.ErrInvalid
	}
	if !e.d.acquire() {
		return 0, os.ErrClosed
	}
	v, errno := e.read()
	e.d.release()
	switch errno {
	case 0:
		return v, nil
	case unix.EAGAIN:
		return 0, nil
	}
	return 0, opRead.fail(errno)
}

// Info is the kernel's information on an eventfd. See proc_pid_fdinfo(5).
type Info struct {
	Count     uint64 // the counter
	ID        int    // unique among the eventfds of the system that exist now; -1 before Linux 5.2
	Semaphore bool   // before Linux 6.5 known only of handles that New made, and their duplicates
	Flags     int    // of the open file, as F_GETFL gives them: unix.O_NONBLOCK and others
}

// Info reads /proc/self/fdinfo, and takes nothing off the counter. It is openat,
// two or more reads, and close. Errors: ENOENT, /proc is not mounted;
// [os.ErrClosed].
func (e *EventFD) Info() (Info, error) {
	if e == nil {
		return Info{}, os.ErrInvalid
	}
	if !e.d.acquire() {
		return Info{}, os.ErrClosed
	}
	info, err := readEventFDInfo("EventFD.Info", int(e.d.fd))
	e.d.release()
	if err == nil && e.d.flags.Load()&flagSemaphore != 0 {
		info.Semaphore = true
	}
	return info, err
}

// Dup makes a second handle for the same eventfd, to be closed on its own. It
// shares O_NONBLOCK with the first. Errors: EMFILE; [os.ErrClosed]. See
// F_DUPFD_CLOEXEC in fcntl(2).
func (e *EventFD) Dup() (*EventFD, error) {
	if e == nil {
		return nil, os.ErrInvalid
	}
	fd, err := e.d.dup()
	if err != nil {
		return nil, err
	}
	return newEventFD(fd, e.d.flags.Load()), nil
}

// File returns a duplicate as an os.File named "eventfd", for APIs that take
// files: ExtraFiles of an exec.Cmd, SCM_RIGHTS. The caller closes it. It shares
// O_NONBLOCK with the handle, also in another process: a child that expects
// reads to block has to poll. Errors: EMFILE; [os.ErrClosed].
func (e *EventFD) File() (*os.File, error) {
	if e == nil {
		return nil, os.ErrInvalid
	}
	fd, err := e.d.dup()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "eventfd"), nil
}

// FD returns the descriptor's number, or -1 once the handle is closed. The
// number is the handle's until Close, and stays open only while the handle can
// be reached: see [runtime.KeepAlive].
//
// The kernel skips a pollfd with a negative number. So a [Poll] with FD of a
// handle that is closed already does not wait for it, and reports nothing:
// [PollSet] and [Epoll.AddConn] return an error instead. A number that the
// kernel has been given, as an irqfd, by IORING_REGISTER_EVENTFD or in
// cgroup.event_control, stands for the open file: the handle may be closed
// afterwards. FD also makes later calls of Read and Write slower: see
// [EventFD].
func (e *EventFD) FD() int {
	if e == nil {
		return -1
	}
	return e.d.sysfd()
}

// Detach closes the handle and gives its number away: it stays open and is the
// caller's, as it was before [FromFD] or [AdoptFD]. The waits of others end in
// [os.ErrClosed]. Registrations that AddConn made are deleted, and a [PollSet]
// reports the member as closed, as for Close. Those that [Epoll.Add] made under
// the number stay.
//
// The number is FD's, unless another method or a PollSet uses it at that moment,
// or the handle has slept in ReadContext or WriteContext, so that Go's poller
// owns it. Then it is that of a duplicate, close-on-exec, by fcntl(2). On an
// error the handle is as it was. Errors: EMFILE; [os.ErrClosed].
func (e *EventFD) Detach() (fd int, err error) {
	if e == nil {
		return -1, os.ErrInvalid
	}
	if !e.d.acquire() {
		return -1, os.ErrClosed
	}
	fd, err = e.d.detach()
	e.d.release()
	runtime.KeepAlive(e)
	return fd, err
}

// SyscallConn returns the descriptor for raw use. During Control, Read and
// Write the fd stays open, even if the handle is closed in between. Read and
// Write wait in the runtime netpoller, as ReadContext does, and so refuse a
// [Blocking] handle. Errors: [os.ErrClosed].
func (e *EventFD) SyscallConn() (syscall.RawConn, error) {
	if e == nil {
		return nil, os.ErrInvalid
	}
	if e.d.closed() {
		return nil, os.ErrClosed
	}
	return rawConn{&e.d, e.poller}, nil
}

// Close ends the handle immediately, and with it the waits of others, in
// [os.ErrClosed]. It does not wait: the last user closes the descriptor. A
// handle that AddConn put into an [Epoll] removes itself first. A second Close
// returns [os.ErrClosed].
func (e *EventFD) Close() error {
	if e == nil {
		return os.ErrInvalid
	}
	return e.d.close()
}
