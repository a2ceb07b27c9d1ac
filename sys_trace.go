//go:build linux

package efd

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/efd-go/efd/internal/clock"
	"golang.org/x/sys/unix"
)

// A callX makes a system call by its sysX. With a tracer it records the memory
// of the arguments before and after the call. It only copies: the formatter is
// reached through report, which AddTracer alone sets, so that a program without
// tracers does not carry the code that prints a call, and no argument of a call
// escapes to the heap.

// report makes a Call of a record and passes it to the tracers. It is set
// before tracing is set for the first time.
var report func(*record)

// record is one system call as it was made. Records are used again, and the
// memory of their slices with them.
type record struct {
	name          string
	kind          recordKind
	arg           [6]uintptr // as the kernel got them
	before, after memory
	ret           int
	errno         unix.Errno
	tid           int
	start         time.Time
	mono          time.Duration
	took          time.Duration
	closes        *descriptor // the handle that a close is of
	link          fdKind      // the kind of the descriptor that is being closed
}

// freeRecords are records to be used again. In a sync.Pool they were values of
// an interface, and all methods of time.Time in every program.
var freeRecords struct {
	sync.Mutex
	list []*record
}

// maxFreeRecords bounds the records that are kept; more are in use if more
// threads are in calls.
const maxFreeRecords = 64

func newRecord() (r *record) {
	f := &freeRecords
	f.Lock()
	if n := len(f.list); n > 0 {
		r, f.list = f.list[n-1], f.list[:n-1]
	}
	f.Unlock()
	if r == nil {
		r = new(record)
	}
	return r
}

func (r *record) free() {
	f := &freeRecords
	f.Lock()
	if len(f.list) < maxFreeRecords {
		f.list = append(f.list, r)
	}
	f.Unlock()
}

// recordKind says how the arguments of a call print.
type recordKind uint8

const (
	kindEventfd2 recordKind = iota
	kindRead                // of a counter
	kindReadText            // of fdinfo
	kindPreadv2
	kindWrite
	kindClose
	kindFcntl
	kindPpoll
	kindPselect6
	kindEpollCreate1
	kindEpollCtl
	kindEpollPwait
	kindEpollPwait2
	kindIoctl
	kindRtSigprocmask
	kindOpenat
)

// memory holds the targets of the pointers among the arguments. Empty: the
// pointer was nil.
type memory struct {
	bytes  []byte
	fds    []PollFD
	sets   [3][]fdWord
	ts     []timespec
	mask   []SigSet // of rt_sigprocmask after the call: the old one
	events []EpollEvent
}

// forget empties m, and keeps its memory for the next call.
func (m *memory) forget() {
	m.bytes, m.fds, m.ts, m.mask, m.events = m.bytes[:0], m.fds[:0], m.ts[:0], m.mask[:0], m.events[:0]
	for i := range m.sets {
		m.sets[i] = m.sets[i][:0]
	}
}

//go:noinline
func (m *memory) saveCounter(v *uint64) {
	m.bytes = append(m.bytes, (*[8]byte)(unsafe.Pointer(v))[:]...)
}

//go:noinline
func (m *memory) saveSets(r, w, x []fdWord) {
	for i, set := range [...][]fdWord{r, w, x} {
		m.sets[i] = append(m.sets[i], set...)
	}
}

//go:noinline
func (m *memory) saveTime(ts *timespec) {
	if ts != nil {
		m.ts = append(m.ts, *ts)
	}
}

//go:noinline
func (m *memory) saveMask(mask *SigSet) {
	if mask != nil {
		m.mask = append(m.mask, *mask)
	}
}

//go:noinline
func (m *memory) saveEvent(ev *EpollEvent) {
	if ev != nil {
		m.events = append(m.events, *ev)
	}
}

// begin locks the goroutine to its thread until done, so that the TID is that
// of the call, and of the tracer.
func begin(kind recordKind, name string, args ...uintptr) *record {
	runtime.LockOSThread()
	r := newRecord()
	r.kind, r.name, r.tid, r.closes, r.link = kind, name, unix.Gettid(), nil, 0
	r.before.forget()
	r.after.forget()
	r.arg = [6]uintptr{}
	copy(r.arg[:], args)
	return r
}

func (r *record) now() {
	r.start = time.Now()
	r.mono = r.start.Sub(epoch) + clockAtEpoch
}

// clockAtEpoch is CLOCK_MONOTONIC, which Go's monotonic clock readings are of,
// at epoch: at most that, and as a rule less than a microsecond below it. AddTracer sets it.
var clockAtEpoch time.Duration

// findClock sets clockAtEpoch. Of a few readings, the latest is the closest one.
func findClock() {
	for range 16 {
		clockAtEpoch = max(clockAtEpoch, clock.Monotonic()-monotonic())
	}
}

//go:noinline
func (r *record) end(ret int, errno unix.Errno) {
	r.took = time.Since(r.start)
	r.ret, r.errno = ret, errno
	if errno != 0 {
		r.ret = -1
	}
}

func (r *record) done() {
	defer runtime.UnlockOSThread()
	report(r)
	r.free()
}

func addr[T any](p *T) uintptr       { return uintptr(unsafe.Pointer(p)) }
func addrSlice[T any](s []T) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s))) }

func callEventfd2(initval, flags uint32) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysEventfd2(initval, flags)
	}
	r := begin(kindEventfd2, "eventfd2", uintptr(initval), uintptr(flags))
	r.now()
	fd, errno := sysEventfd2(initval, flags)
	r.end(fd, errno)
	r.done()
	return fd, errno
}

// callRead reads an eventfd's counter. sleeps says that the open file may have
// lost O_NONBLOCK, or never had it.
func callRead(fd int, v *uint64, sleeps bool) (int, unix.Errno) {
	if tracing.Load() == nil {
		if sleeps {
			return sysRead(fd, v)
		}
		return sysReadNonblock(fd, v)
	}
	r := begin(kindRead, "read", uintptr(fd), addr(v), 8)
	r.now()
	n, errno := sysRead(fd, v)
	r.end(n, errno)
	r.after.saveCounter(v)
	r.done()
	return n, errno
}

func callReadBytes(fd int, b []byte) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysReadBytes(fd, b)
	}
	r := begin(kindReadText, "read", uintptr(fd), addrSlice(b), uintptr(len(b)))
	r.now()
	n, errno := sysReadBytes(fd, b)
	r.end(n, errno)
	if errno == 0 {
		r.after.bytes = append(r.after.bytes, b[:n]...)
	}
	r.done()
	return n, errno
}

// callPreadv2 reads an eventfd's counter and does not sleep.
func callPreadv2(fd int, v *uint64) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysPreadv2(fd, v)
	}
	r := begin(kindPreadv2, "preadv2", uintptr(fd), addr(v))
	r.now()
	n, errno := sysPreadv2(fd, v)
	r.end(n, errno)
	r.after.saveCounter(v)
	r.done()
	return n, errno
}

// callWrite adds *v to an eventfd's counter; sleeps as in callRead.
func callWrite(fd int, v *uint64, sleeps bool) (int, unix.Errno) {
	if tracing.Load() == nil {
		if sleeps {
			return sysWrite(fd, v)
		}
		return sysWriteNonblock(fd, v)
	}
	r := begin(kindWrite, "write", uintptr(fd), addr(v), 8)
	r.before.saveCounter(v)
	r.now()
	n, errno := sysWrite(fd, v)
	r.end(n, errno)
	r.done()
	return n, errno
}

func callClose(fd int) unix.Errno { return callCloseOf(nil, fd) }

// callCloseOf closes fd, which is d's, or no handle's if d is nil.
func callCloseOf(d *descriptor, fd int) unix.Errno {
	if tracing.Load() == nil {
		return sysClose(fd)
	}
	r := begin(kindClose, "close", uintptr(fd))
	r.closes, r.link = d, kindOfFD(fd)
	r.now()
	errno := sysClose(fd)
	r.end(0, errno)
	r.done()
	return errno
}

// callCloseFile closes file, which owns d's fd. The runtime takes the fd out of
// its poller first, in the time of the call.
func callCloseFile(d *descriptor, file *os.File) {
	if tracing.Load() == nil {
		file.Close()
		return
	}
	r := begin(kindClose, "close", uintptr(d.fd))
	r.closes, r.link = d, kindOfFD(int(d.fd))
	r.now()
	err := file.Close()
	var errno unix.Errno
	errors.As(err, &errno)
	r.end(0, errno)
	r.done()
}

func callFcntl(fd, cmd, arg int) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysFcntl(fd, cmd, arg)
	}
	r := begin(kindFcntl, fcntlName, uintptr(fd), uintptr(cmd), uintptr(arg))
	r.now()
	n, errno := sysFcntl(fd, cmd, arg)
	r.end(n, errno)
	r.done()
	return n, errno
}

func callPpoll(fds []PollFD, ts *timespec, mask *SigSet) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysPpoll(unsafe.SliceData(fds), len(fds), ts, mask)
	}
	r := begin(kindPpoll, timeCall("ppoll"), addrSlice(fds), uintptr(len(fds)), addr(ts), addr(mask), sigsetSize)
	b, a := &r.before, &r.after
	b.fds = append(b.fds, fds...)
	b.saveTime(ts)
	b.saveMask(mask)
	r.now()
	n, errno := sysPpoll(unsafe.SliceData(fds), len(fds), ts, mask)
	r.end(n, errno)
	a.fds = append(a.fds, fds...)
	a.saveTime(ts)
	r.done()
	return n, errno
}

func callPselect6(nfds int, rs, ws, xs []fdWord, ts *timespec, mask *SigSet) (int, unix.Errno) {
	rp, wp, xp, arg := unsafe.SliceData(rs), unsafe.SliceData(ws), unsafe.SliceData(xs), sigsetArg{mask, sigsetSize}
	if tracing.Load() == nil {
		return sysPselect6(nfds, rp, wp, xp, ts, arg.pointer())
	}
	r := begin(kindPselect6, timeCall("pselect6"), uintptr(nfds), addr(rp), addr(wp), addr(xp), addr(ts))
	b := &r.before
	b.saveSets(rs, ws, xs)
	b.saveTime(ts)
	b.saveMask(mask)
	r.now()
	n, errno := sysPselect6(nfds, rp, wp, xp, ts, arg.pointer())
	r.end(n, errno)
	r.after.saveSets(rs, ws, xs)
	r.after.saveTime(ts)
	r.done()
	return n, errno
}

func callEpollCreate1(flags int) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysEpollCreate1(flags)
	}
	r := begin(kindEpollCreate1, "epoll_create1", uintptr(flags))
	r.now()
	fd, errno := sysEpollCreate1(flags)
	r.end(fd, errno)
	r.done()
	return fd, errno
}

func callEpollCtl(epfd, op, fd int, ev *EpollEvent) unix.Errno {
	if tracing.Load() == nil {
		return sysEpollCtl(epfd, op, fd, ev)
	}
	r := begin(kindEpollCtl, "epoll_ctl", uintptr(epfd), uintptr(op), uintptr(fd), addr(ev))
	r.before.saveEvent(ev)
	r.now()
	errno := sysEpollCtl(epfd, op, fd, ev)
	r.end(0, errno)
	r.done()
	return errno
}

func callEpollPwait(epfd int, events []EpollEvent, msec int32, mask *SigSet) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysEpollPwait(epfd, unsafe.SliceData(events), len(events), uintptr(msec), mask)
	}
	r := begin(kindEpollPwait, "epoll_pwait", uintptr(epfd), addrSlice(events), uintptr(len(events)), uintptr(msec), addr(mask), sigsetSize)
	r.before.saveMask(mask)
	r.now()
	n, errno := sysEpollPwait(epfd, unsafe.SliceData(events), len(events), uintptr(msec), mask)
	r.end(n, errno)
	r.after.events = append(r.after.events, events[:max(r.ret, 0)]...)
	r.done()
	return n, errno
}

func callEpollPwait2(epfd int, events []EpollEvent, ts *timespec, mask *SigSet) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysEpollPwait2(epfd, unsafe.SliceData(events), len(events), ts, mask)
	}
	r := begin(kindEpollPwait2, "epoll_pwait2", uintptr(epfd), addrSlice(events), uintptr(len(events)), addr(ts), addr(mask), sigsetSize)
	r.before.saveTime(ts)
	r.before.saveMask(mask)
	r.now()
	n, errno := sysEpollPwait2(epfd, unsafe.SliceData(events), len(events), ts, mask)
	r.end(n, errno)
	r.after.events = append(r.after.events, events[:max(r.ret, 0)]...)
	r.done()
	return n, errno
}

func callEpollParams(epfd int, req uint32, p *epollParams) unix.Errno {
	if tracing.Load() == nil {
		return sysEpollParams(epfd, req, p)
	}
	r := begin(kindIoctl, "ioctl", uintptr(epfd), uintptr(req), addr(p))
	r.now()
	errno := sysEpollParams(epfd, req, p)
	r.end(0, errno)
	r.done()
	return errno
}

func callRtSigprocmask(how int, set, old *SigSet) unix.Errno {
	if tracing.Load() == nil {
		return sysRtSigprocmask(how, set, old)
	}
	r := begin(kindRtSigprocmask, "rt_sigprocmask", uintptr(how), addr(set), addr(old), sigsetSize)
	r.before.saveMask(set)
	r.now()
	errno := sysRtSigprocmask(how, set, old)
	r.end(0, errno)
	r.after.saveMask(old)
	r.done()
	return errno
}

func callOpen(path []byte) (int, unix.Errno) {
	if tracing.Load() == nil {
		return sysOpen(path)
	}
	r := begin(kindOpenat, "openat", 0, addrSlice(path))
	r.before.bytes = append(r.before.bytes, path[:len(path)-1]...)
	r.now()
	fd, errno := sysOpen(path)
	r.end(fd, errno)
	r.done()
	return fd, errno
}
