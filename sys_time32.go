//go:build linux && (386 || arm || mips || mipsle)

package efd

import (
	"math"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls with 64-bit time, since Linux 5.1, and the old ones.
const (
	nrFcntl       = unix.SYS_FCNTL64
	nrPpoll       = unix.SYS_PPOLL_TIME64
	nrPpollOld    = unix.SYS_PPOLL
	nrPselect6    = unix.SYS_PSELECT6_TIME64
	nrPselect6Old = unix.SYS_PSELECT6
)

// noTime64 is set once the kernel has refused a call with 64-bit time.
var noTime64 atomic.Bool

// oldTime reports whether the kernel lacks the calls with 64-bit time.
func oldTime() bool { return noTime64.Load() }

// timeFallback reports whether a call that failed with errno is to be made
// again with the old time ABI; old says that it was known before the call.
// Old seccomp filters say EPERM to calls that they do not know.
func timeFallback(old bool, errno unix.Errno) bool {
	if old || errno != unix.ENOSYS && errno != unix.EPERM {
		return false
	}
	noTime64.Store(true)
	return true
}

const fcntlName = "fcntl64"

// timeCall is the name of a call with a time limit that is made as things are.
func timeCall(name string) string {
	if noTime64.Load() {
		return name
	}
	if name == "ppoll" { // not put together, since each traced call asks
		return "ppoll_time64"
	}
	return "pselect6_time64"
}

// timespec32 is struct old_timespec32.
type timespec32 struct{ sec, nsec int32 }

// toTime32 converts t for the time32 ABI, which ends at 68 years.
func (t *timespec) toTime32(to *timespec32) *timespec32 {
	if t == nil {
		return nil
	}
	*to = timespec32{int32(min(t.sec, math.MaxInt32)), int32(t.nsec)}
	return to
}

// widen takes over the time left that the kernel wrote to from.
func (t *timespec) widen(from *timespec32) {
	if t != nil {
		*t = timespec{int64(from.sec), int64(from.nsec)}
	}
}

func sysPpoll(fds *PollFD, size int, ts *timespec, mask *SigSet) (int, unix.Errno) {
	nr := uintptr(nrPpoll)
	limit := unsafe.Pointer(ts)
	var old timespec32
	if oldTime() {
		nr, limit = nrPpollOld, unsafe.Pointer(ts.toTime32(&old))
		defer ts.widen(&old)
	}
	n, _, errno := syscall.Syscall6(nr, uintptr(unsafe.Pointer(fds)), uintptr(size), uintptr(limit),
		uintptr(unsafe.Pointer(mask)), sigsetSize, 0)
	return int(n), errno
}

// sysPselect6 passes sets of at least nfds bits, each nil for none.
func sysPselect6(nfds int, r, w, x *fdWord, ts *timespec, arg *sigsetArg) (int, unix.Errno) {
	nr := uintptr(nrPselect6)
	limit := unsafe.Pointer(ts)
	var old timespec32
	if oldTime() {
		nr, limit = nrPselect6Old, unsafe.Pointer(ts.toTime32(&old))
		defer ts.widen(&old)
	}
	n, _, errno := syscall.Syscall6(nr, uintptr(nfds), uintptr(unsafe.Pointer(r)), uintptr(unsafe.Pointer(w)),
		uintptr(unsafe.Pointer(x)), uintptr(limit), uintptr(unsafe.Pointer(arg)))
	return int(n), errno
}
