package efd

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every system call of the package is made in this file and its sys_*
// neighbours, in two layers. rawX makes the call and nothing else. sysX is what
// the rest of the package calls: with a tracer it goes through traceX
// (sys_trace.go), which makes the same call and tells what went in and out.
// Loops that repeat a call are above sysX, so that each call is told.
//
// Coming back from the kernel, each return is mispredicted, so every frame
// between a method and its call costs some 5 ns. Where speed counts, the method
// makes the call itself if direct says that it may: by nowX, which cannot
// sleep, or thenX, which can, and which the compiler puts into its caller. On
// amd64 nowX is assembly: syscall.RawSyscall6 is two frames more.
//
// RawSyscall leaves the scheduler out, so it is for calls that cannot sleep.
// Pointers become uintptr only in the argument list of the call itself.

// shortScan is how many descriptors a wait that cannot sleep may scan without
// a word to the scheduler: some 20 µs.
const shortScan = 512

// timespec is struct __kernel_timespec: 64 bits each on every architecture.
type timespec struct{ sec, nsec int64 }

// set makes t stand for d and returns it, or nil for no time limit.
func (t *timespec) set(d time.Duration) *timespec {
	if d < 0 {
		return nil
	}
	*t = timespec{int64(d / time.Second), int64(d % time.Second)}
	return t
}

func (t *timespec) isZero() bool { return t != nil && t.sec|t.nsec == 0 }

// duration is the time that t stands for; nil is Forever.
func (t *timespec) duration() time.Duration {
	if t == nil {
		return Forever
	}
	return time.Duration(t.sec)*time.Second + time.Duration(t.nsec)
}

// sigsetArg is what the sixth argument of pselect6 points to.
type sigsetArg struct {
	mask *SigSet
	size uintptr
}

func sysEventfd2(initval, flags uint32) (int, unix.Errno) {
	if tracing.Load() != nil {
		return traceEventfd2(initval, flags)
	}
	return rawEventfd2(initval, flags)
}

func rawEventfd2(initval, flags uint32) (int, unix.Errno) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_EVENTFD2, uintptr(initval), uintptr(flags), 0)
	return int(fd), errno
}

// sysRead reads an eventfd's counter. sleeps says that the description may
// have lost O_NONBLOCK, or never had it.
func sysRead(fd int, v *uint64, sleeps bool) (int, unix.Errno) {
	return doRead(fd, v, sleeps, true)
}

func rawRead(fd int, v *uint64, sleeps bool) (int, unix.Errno) {
	return doRead(fd, v, sleeps, false)
}

func doRead(fd int, v *uint64, sleeps bool, traced bool) (int, unix.Errno) {
	if traced && tracing.Load() != nil {
		return traceRead(fd, v, sleeps)
	}
	if raceEnabled {
		return ioErrno(syscall.Read(fd, (*[8]byte)(unsafe.Pointer(v))[:]))
	}
	var n uintptr
	var errno unix.Errno
	if sleeps {
		n, _, errno = syscall.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(v)), 8)
	} else {
		n, _, errno = syscall.RawSyscall6(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(v)), 8, 0, 0, 0)
	}
	return int(n), errno
}

// sysWrite adds *v to an eventfd's counter; sleeps as in sysRead.
func sysWrite(fd int, v *uint64, sleeps bool) (int, unix.Errno) {
	return doWrite(fd, v, sleeps, true)
}

func rawWrite(fd int, v *uint64, sleeps bool) (int, unix.Errno) {
	return doWrite(fd, v, sleeps, false)
}

func doWrite(fd int, v *uint64, sleeps bool, traced bool) (int, unix.Errno) {
	if traced && tracing.Load() != nil {
		return traceWrite(fd, v, sleeps)
	}
	if raceEnabled {
		return ioErrno(syscall.Write(fd, (*[8]byte)(unsafe.Pointer(v))[:]))
	}
	var n uintptr
	var errno unix.Errno
	if sleeps {
		n, _, errno = syscall.Syscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(v)), 8)
	} else {
		n, _, errno = syscall.RawSyscall6(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(v)), 8, 0, 0, 0)
	}
	return int(n), errno
}

// ioErrno is the result of a package syscall function as a raw call's. The
// race detector sees reads and writes through them, and so agrees with what
// os.File does on a duplicate.
func ioErrno(n int, err error) (int, unix.Errno) {
	if err == nil {
		return n, 0
	}
	return n, err.(unix.Errno)
}

func sysClose(fd int) unix.Errno {
	if tracing.Load() != nil {
		return traceClose(fd)
	}
	return rawClose(fd)
}

func rawClose(fd int) unix.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return errno
}

func sysFcntl(fd, cmd, arg int) (int, unix.Errno) {
	if tracing.Load() != nil {
		return traceFcntl(fd, cmd, arg)
	}
	return rawFcntl(fd, cmd, arg)
}

func rawFcntl(fd, cmd, arg int) (int, unix.Errno) {
	r, _, errno := syscall.RawSyscall(nrFcntl, uintptr(fd), uintptr(cmd), uintptr(arg))
	return int(r), errno
}

// direct reports whether a call may be made without sysX.
func direct() bool { return tracing.Load() == nil && !oldTime() }

func sysPpoll(fds []PollFD, ts *timespec, mask *SigSet) (int, unix.Errno) {
	if tracing.Load() != nil {
		return tracePpoll(fds, ts, mask)
	}
	return rawPpoll(fds, ts, mask)
}

func rawPpoll(fds []PollFD, ts *timespec, mask *SigSet) (int, unix.Errno) {
	if oldTime() {
		return oldPpoll(fds, ts, mask)
	}
	n, errno := thenPpoll(fds, ts, mask)
	return int(n), errno
}

func thenPpoll(fds []PollFD, ts *timespec, mask *SigSet) (n uintptr, errno unix.Errno) {
	n, _, errno = syscall.Syscall6(nrPpoll, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)),
		uintptr(unsafe.Pointer(ts)), uintptr(unsafe.Pointer(mask)), sigsetSize, 0)
	return
}

// sysPselect6 passes sets of at least nfds bits, each nil for none.
func sysPselect6(nfds int, r, w, x []fdWord, ts *timespec, mask *SigSet) (int, unix.Errno) {
	if tracing.Load() != nil {
		return tracePselect6(nfds, r, w, x, ts, mask)
	}
	return rawPselect6(nfds, r, w, x, ts, mask)
}

func rawPselect6(nfds int, r, w, x []fdWord, ts *timespec, mask *SigSet) (int, unix.Errno) {
	arg := &sigsetArg{mask, sigsetSize}
	if mask == nil {
		arg = nil
	}
	if oldTime() {
		return oldPselect6(nfds, r, w, x, ts, arg)
	}
	n, errno := thenPselect6(nfds, r, w, x, ts, arg)
	return int(n), errno
}

func thenPselect6(nfds int, r, w, x []fdWord, ts *timespec, arg *sigsetArg) (n uintptr, errno unix.Errno) {
	n, _, errno = syscall.Syscall6(nrPselect6, uintptr(nfds), uintptr(unsafe.Pointer(unsafe.SliceData(r))),
		uintptr(unsafe.Pointer(unsafe.SliceData(w))), uintptr(unsafe.Pointer(unsafe.SliceData(x))),
		uintptr(unsafe.Pointer(ts)), uintptr(unsafe.Pointer(arg)))
	return
}

func sysEpollCreate1(flags int) (int, unix.Errno) {
	if tracing.Load() != nil {
		return traceEpollCreate1(flags)
	}
	return rawEpollCreate1(flags)
}

func rawEpollCreate1(flags int) (int, unix.Errno) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_EPOLL_CREATE1, uintptr(flags), 0, 0)
	return int(fd), errno
}

func sysEpollCtl(epfd, op, fd int, ev *EpollEvent) unix.Errno {
	if tracing.Load() != nil {
		return traceEpollCtl(epfd, op, fd, ev)
	}
	return rawEpollCtl(epfd, op, fd, ev)
}

func rawEpollCtl(epfd, op, fd int, ev *EpollEvent) unix.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(ev)), 0, 0)
	return errno
}

func sysEpollPwait(epfd int, events []EpollEvent, msec int32, mask *SigSet) (int, unix.Errno) {
	if tracing.Load() != nil {
		return traceEpollPwait(epfd, events, msec, mask)
	}
	return rawEpollPwait(epfd, events, msec, mask)
}

func rawEpollPwait(epfd int, events []EpollEvent, msec int32, mask *SigSet) (int, unix.Errno) {
	if msec == 0 && mask == nil {
		n, errno := nowEpollPwait(epfd, events)
		return int(n), errno
	}
	n, errno := thenEpollPwait(epfd, events, msec, mask)
	return int(n), errno
}

func thenEpollPwait(epfd int, events []EpollEvent, msec int32, mask *SigSet) (n uintptr, errno unix.Errno) {
	n, _, errno = syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(msec), uintptr(unsafe.Pointer(mask)), sigsetSize)
	return
}

func sysEpollPwait2(epfd int, events []EpollEvent, ts *timespec, mask *SigSet) (int, unix.Errno) {
	if tracing.Load() != nil {
		return traceEpollPwait2(epfd, events, ts, mask)
	}
	return rawEpollPwait2(epfd, events, ts, mask)
}

func rawEpollPwait2(epfd int, events []EpollEvent, ts *timespec, mask *SigSet) (int, unix.Errno) {
	r, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(unsafe.Pointer(ts)), uintptr(unsafe.Pointer(mask)), sigsetSize)
	return int(r), errno
}

// epollParams is struct epoll_params.
type epollParams struct {
	usecs  uint32
	budget uint16
	prefer uint8
	_      uint8
}

// sysEpollParams is ioctl with EPIOCSPARAMS or EPIOCGPARAMS.
func sysEpollParams(epfd int, req uint32, p *epollParams) unix.Errno {
	if tracing.Load() != nil {
		return traceEpollParams(epfd, req, p)
	}
	return rawEpollParams(epfd, req, p)
}

func rawEpollParams(epfd int, req uint32, p *epollParams) unix.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(epfd), uintptr(req), uintptr(unsafe.Pointer(p)))
	return errno
}

func sysRtSigprocmask(how int, set, old *SigSet) unix.Errno {
	if tracing.Load() != nil {
		return traceRtSigprocmask(how, set, old)
	}
	return rawRtSigprocmask(how, set, old)
}

func rawRtSigprocmask(how int, set, old *SigSet) unix.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
	return errno
}

// sysOpen opens path, which ends in a zero byte, for reading.
func sysOpen(path []byte) (int, unix.Errno) {
	if tracing.Load() != nil {
		return traceOpen(path)
	}
	return rawOpen(path)
}

func rawOpen(path []byte) (int, unix.Errno) {
	const at, flags = unix.AT_FDCWD, unix.O_RDONLY | unix.O_CLOEXEC
	dir := at
	fd, _, errno := syscall.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(unsafe.SliceData(path))),
		flags, 0, 0, 0)
	return int(fd), errno
}

// sysReadBytes reads what is no counter: fdinfo.
func sysReadBytes(fd int, b []byte) (int, unix.Errno) {
	if tracing.Load() != nil {
		return traceReadBytes(fd, b)
	}
	return rawReadBytes(fd, b)
}

func rawReadBytes(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := syscall.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}
