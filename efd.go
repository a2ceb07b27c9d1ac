package efd

import (
	"context"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// EventFD is an eventfd: a counter in the kernel that is readable while it is
// above 0. Its methods may be called from many goroutines. See eventfd(2).
type EventFD struct{ d descriptor }

// Flag is a property of a new [EventFD].
type Flag uint32

const (
	Semaphore Flag = unix.EFD_SEMAPHORE // each Read takes 1 and returns 1
	Blocking  Flag = 1 << 31            // leave EFD_NONBLOCK out
)

// MaxCount is the largest count that a write can reach.
const MaxCount uint64 = 1<<64 - 2

var (
	errTooMuch     = badArg(unix.EINVAL, "count 2^64-1: an eventfd takes at most 2^64-2")
	errBlockingCtx = badArg(unix.EINVAL, "a Blocking handle cannot wait in Go's poller")
)

// New makes an eventfd whose counter is initval. See eventfd2(2).
func New(initval uint32, flags Flag) (*EventFD, error) {
	if unknown := flags &^ (Semaphore | Blocking); unknown != 0 {
		return nil, badArg(unix.EINVAL, "flags %#x: want Semaphore, Blocking or both", uint32(unknown))
	}
	kernel := unix.EFD_CLOEXEC | uint32(flags&Semaphore)
	var own uint32
	if flags&Blocking != 0 {
		own |= flagBlocking
	} else {
		kernel |= unix.EFD_NONBLOCK
	}
	if flags&Semaphore != 0 {
		own |= flagSemaphore
	}
	fd, errno := sysEventfd2(initval, kernel)
	if errno != 0 {
		return nil, opEventfd2.fail(errno)
	}
	return newEventFD(fd, own), nil
}

func newEventFD(fd int, flags uint32) *EventFD {
	e := new(EventFD)
	e.d.init(fd, flags)
	e.d.cleanup = runtime.AddCleanup(e, closeLost, e.d.fd)
	return e
}

// FromFD takes over fd, which must be an eventfd.
func FromFD(fd int) (*EventFD, error) {
	info, err := readEventFDInfo(fd)
	if err != nil {
		return nil, err
	}
	if _, errno := sysFcntl(fd, unix.F_SETFD, unix.FD_CLOEXEC); errno != 0 {
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

// Read takes the counter.
func (e *EventFD) Read() (v uint64, err error) {
	if !e.d.acquire() {
		return 0, os.ErrClosed
	}
	raceRelease(&raceTaken)
	_, errno := sysRead(int(e.d.fd), &v, e.d.sleeps())
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

// read is read(2), repeated where a signal ended it. The caller has acquired
// the number.
func (e *EventFD) read() (v uint64, errno unix.Errno) {
	raceRelease(&raceTaken)
	for {
		_, errno = sysRead(int(e.d.fd), &v, e.d.sleeps())
		if errno != unix.EINTR {
			break
		}
	}
	if errno == 0 {
		raceAcquire(&raceWritten)
	}
	return v, errno
}

// Write adds v to the counter.
func (e *EventFD) Write(v uint64) error {
	if v > MaxCount {
		return errTooMuch
	}
	if !e.d.acquire() {
		return os.ErrClosed
	}
	raceRelease(&raceWritten)
	_, errno := sysWrite(int(e.d.fd), &v, e.d.sleeps())
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
		_, errno = sysWrite(int(e.d.fd), &v, e.d.sleeps())
		if errno != unix.EINTR {
			break
		}
	}
	if errno == 0 {
		raceAcquire(&raceTaken)
	}
	return errno
}

// Signal adds 1.
func (e *EventFD) Signal() error {
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

// Drain takes the counter, 0 where it is empty.
func (e *EventFD) Drain() (uint64, error) {
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

// ReadContext waits.
func (e *EventFD) ReadContext(ctx context.Context) (uint64, error) {
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
	if e.d.poller() == nil && e.d.flags.Load()&flagBlocking == 0 {
		if v, errno := e.read(); errno == 0 {
			return v, nil
		} else if errno != unix.EAGAIN {
			return 0, opRead.fail(errno)
		}
	}
	p, err := e.poller()
	if err != nil {
		return 0, err
	}
	s := &p.reader
	if err := p.enter(ctx, s); err != nil {
		return 0, err
	}
	err = p.run(ctx, s)
	v, errno := s.value, s.errno
	s.leave()
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, opRead.fail(errno)
	}
	return v, nil
}

// WriteContext waits until v fits.
func (e *EventFD) WriteContext(ctx context.Context, v uint64) error {
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
	if e.d.poller() == nil && e.d.flags.Load()&flagBlocking == 0 {
		if errno := e.write(v); errno == 0 {
			return nil
		} else if errno != unix.EAGAIN {
			return opWrite.fail(errno)
		}
	}
	p, err := e.poller()
	if err != nil {
		return err
	}
	s := &p.writer
	if err := p.enter(ctx, s); err != nil {
		return err
	}
	s.value = v
	err = p.run(ctx, s)
	errno := s.errno
	s.leave()
	switch {
	case err != nil:
		return err
	case errno != 0:
		return opWrite.fail(errno)
	}
	return nil
}

func (e *EventFD) poller() (*poller, error) {
	if p := e.d.poller(); p != nil {
		return p, p.err
	}
	if e.d.flags.Load()&flagBlocking != 0 {
		return nil, errBlockingCtx
	}
	return e.d.getPoller(e.setupPoller)
}

func (e *EventFD) setupPoller(p *poller) {
	r, w := &p.reader, &p.writer
	r.try = func(uintptr) bool {
		r.value, r.errno = e.read()
		return r.errno != unix.EAGAIN
	}
	w.try = func(uintptr) bool {
		w.errno = e.write(w.value)
		return w.errno != unix.EAGAIN
	}
}

// Info is what the kernel says of an eventfd.
type Info struct {
	Count     uint64
	ID        int
	Semaphore bool
	Flags     int
}

// Info reads fdinfo.
func (e *EventFD) Info() (Info, error) {
	if !e.d.acquire() {
		return Info{}, os.ErrClosed
	}
	info, err := readEventFDInfo(int(e.d.fd))
	e.d.release()
	if e.d.flags.Load()&flagSemaphore != 0 {
		info.Semaphore = true
	}
	return info, err
}

// Dup makes a second handle for the same counter.
func (e *EventFD) Dup() (*EventFD, error) {
	fd, err := e.d.dup()
	if err != nil {
		return nil, err
	}
	return newEventFD(fd, e.d.flags.Load()), nil
}

// File returns a duplicate.
func (e *EventFD) File() (*os.File, error) {
	fd, err := e.d.dup()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "eventfd"), nil
}

// FD returns the number.
func (e *EventFD) FD() int { return e.d.number() }

// SyscallConn returns the descriptor for raw use.
func (e *EventFD) SyscallConn() (syscall.RawConn, error) {
	if e.d.closed() {
		return nil, os.ErrClosed
	}
	return rawConn{&e.d, e.poller}, nil
}

// Close closes the handle.
func (e *EventFD) Close() error { return e.d.close() }
