//go:build linux

package efd

import (
	"math"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every system call of the package is made here and in the sys_* files, in two
// layers. sysX makes the call. callX (sys_trace.go) makes it by sysX and reports
// it to the tracers. The package uses callX alone. Loops that repeat a call are
// above callX, so that each call is reported.
//
// syscall.RawSyscall keeps the P of Go's scheduler: a call that sleeps stops the
// garbage collector and, in the end, the whole process. So it is for calls that
// reach no foreign file, and for read and write of an eventfd that is known to
// be O_NONBLOCK. ppoll, pselect6, epoll_pwait, epoll_ctl and close run the poll,
// flush and release functions of the file, which sleep for FUSE, NFS,
// terminals and SO_LINGER.
//
// Pointers become uintptr only in the argument list of the call itself.

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

// sigsetArg is the target of pselect6's sixth argument.
type sigsetArg struct {
	mask *SigSet
	size uintptr
}

// pointer is a to be passed; nil for no mask.
func (a *sigsetArg) pointer() *sigsetArg {
	if a.mask == nil {
		return nil
	}
	return a
}

func sysEventfd2(initval, flags uint32) (int, unix.Errno) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_EVENTFD2, uintptr(initval), uintptr(flags), 0)
	return int(fd), errno
}

// sysRead reads an eventfd's counter, and may sleep.
func sysRead(fd int, v *uint64) (int, unix.Errno) {
	if raceEnabled {
		return ioErrno(syscall.Read(fd, (*[8]byte)(unsafe.Pointer(v))[:]))
	}
	n, _, errno := syscall.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(v)), 8)
	return int(n), errno
}

// sysReadNonblock is sysRead of an eventfd that is known to be O_NONBLOCK.
func sysReadNonblock(fd int, v *uint64) (int, unix.Errno) {
	if raceEnabled {
		return sysRead(fd, v)
	}
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(v)), 8)
	return int(n), errno
}

// noNowait is set once the kernel has refused RWF_NOWAIT for an eventfd, which
// takes it since Linux 5.8.
var noNowait atomic.Bool

// iovec is struct iovec.
type iovec struct {
	base *uint64
	len  uintptr
}

// sysPreadv2 reads an eventfd's counter with RWF_NOWAIT: it does not sleep.
func sysPreadv2(fd int, v *uint64) (int, unix.Errno) {
	iov := iovec{v, 8}
	const position = ^uintptr(0) // both halves of -1: a file without positions
	n, _, errno := syscall.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1,
		position, position, unix.RWF_NOWAIT)
	return int(n), errno
}

// sysWrite adds *v to an eventfd's counter, and may sleep.
func sysWrite(fd int, v *uint64) (int, unix.Errno) {
	if raceEnabled {
		return ioErrno(syscall.Write(fd, (*[8]byte)(unsafe.Pointer(v))[:]))
	}
	n, _, errno := syscall.Syscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(v)), 8)
	return int(n), errno
}

// sysWriteNonblock is sysWrite to an eventfd that is known to be O_NONBLOCK.
func sysWriteNonblock(fd int, v *uint64) (int, unix.Errno) {
	if raceEnabled {
		return sysWrite(fd, v)
	}
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(v)), 8)
	return int(n), errno
}

// ioErrno converts the result of a function of package syscall to a system
// call's. The race detector observes reads and writes through these functions,
// and so agrees with os.File on a duplicate.
func ioErrno(n int, err error) (int, unix.Errno) {
	if err == nil {
		return n, 0
	}
	return n, err.(unix.Errno)
}

func sysClose(fd int) unix.Errno {
	_, _, errno := syscall.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return errno
}

// sysFcntl is fcntl with a command that reaches no file: F_DUPFD_CLOEXEC,
// F_GETFD, F_SETFD, F_GETFL, and F_SETFL of an eventfd or epoll.
func sysFcntl(fd, cmd, arg int) (int, unix.Errno) {
	r, _, errno := syscall.RawSyscall(nrFcntl, uintptr(fd), uintptr(cmd), uintptr(arg))
	return int(r), errno
}

func sysEpollCreate1(flags int) (int, unix.Errno) {
	fd, _, errno := syscall.RawSyscall(unix.SYS_EPOLL_CREATE1, uintptr(flags), 0, 0)
	return int(fd), errno
}

func sysEpollCtl(epfd, op, fd int, ev *EpollEvent) unix.Errno {
	_, _, errno := syscall.Syscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(ev)), 0, 0)
	return errno
}

func sysEpollPwait(epfd int, events *EpollEvent, size int, msec uintptr, mask *SigSet) (int, unix.Errno) {
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(events)), uintptr(size),
		msec, uintptr(unsafe.Pointer(mask)), sigsetSize)
	return int(n), errno
}

func sysEpollPwait2(epfd int, events *EpollEvent, size int, ts *timespec, mask *SigSet) (int, unix.Errno) {
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(unsafe.Pointer(events)), uintptr(size),
		uintptr(unsafe.Pointer(ts)), uintptr(unsafe.Pointer(mask)), sigsetSize)
	return int(n), errno
}

// maxEpollEvents is EP_MAX_EVENTS.
const maxEpollEvents = math.MaxInt32 / int(unsafe.Sizeof(EpollEvent{}))

// epollParams is struct epoll_params.
type epollParams struct {
	usecs  uint32
	budget uint16
	prefer uint8
	_      uint8
}

// sysEpollParams is ioctl with EPIOCSPARAMS or EPIOCGPARAMS.
func sysEpollParams(epfd int, req uint32, p *epollParams) unix.Errno {
	_, _, errno := syscall.Syscall(unix.SYS_IOCTL, uintptr(epfd), uintptr(req), uintptr(unsafe.Pointer(p)))
	return errno
}

func sysRtSigprocmask(how int, set, old *SigSet) unix.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
	return errno
}

// sysOpen opens path, which ends in a zero byte, for reading.
func sysOpen(path []byte) (int, unix.Errno) {
	const at, flags = unix.AT_FDCWD, unix.O_RDONLY | unix.O_CLOEXEC
	dir := at
	fd, _, errno := syscall.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(unsafe.SliceData(path))),
		flags, 0, 0, 0)
	return int(fd), errno
}

// sysReadBytes reads a file other than a counter: fdinfo.
func sysReadBytes(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := syscall.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)))
	return int(n), errno
}
