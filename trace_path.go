package efd

import (
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Path is a documented path of the kernel: which function calls which.
type Path struct {
	Name      string // of the catalogue, such as "eventfd_write"
	Kernel    string // the version that the edges hold for
	DecidedBy string // what decided between variants: the version, or symbols of the running kernel
	Edges     []Edge
}

// Edge is one call of a [Path]: Caller calls Callee.
type Edge struct {
	Caller, Callee string
	File           string // of the kernel's source, where the call is written
	Line           int    // of the call in the reviewed version, 0 where none is claimed
	Kind           string // direct, inline, macro, pointer or tracepoint
	Note           string // what the callee does here
	Verdict        Verdict
	Evidence       string // what the verdict rests on
}

// Verdict says what became of an edge when it was held against what the kernel
// did. It is "" where nothing was observed.
type Verdict string

const (
	Seen          Verdict = "seen"
	TailCall      Verdict = "tail_call"      // the caller jumps to the callee and leaves no frame
	Inlined       Verdict = "inlined"        // compiled into the caller
	Renamed       Verdict = "renamed"        // seen under a compiler's name or an alias
	NotTaken      Verdict = "not_taken"      // another branch was
	Contradicted  Verdict = "contradicted"   // the kernel did something else
	NotObservable Verdict = "not_observable" // Evidence says why
	Inconclusive  Verdict = "inconclusive"   // records were lost
	Undocumented  Verdict = "undocumented"   // observed, and in no documented path
)

// pathName is the catalogue's name for the path of r.
func (r *record) pathName() string {
	switch r.kind {
	case kindEventfd2:
		return "eventfd2"
	case kindRead:
		return "eventfd_read"
	case kindWrite:
		return "eventfd_write"
	case kindReadText:
		return "eventfd_fdinfo"
	case kindClose:
		switch {
		case strings.HasSuffix(r.before.link, "[eventfd]"):
			return "eventfd_release"
		case strings.HasSuffix(r.before.link, "[eventpoll]"):
			return "epoll_release"
		}
	case kindPpoll:
		return "ppoll"
	case kindPselect6:
		return "pselect6"
	case kindEpollCreate1:
		return "epoll_create1"
	case kindEpollCtl:
		return "epoll_ctl"
	case kindEpollPwait, kindEpollPwait2:
		return "epoll_wait"
	case kindIoctl:
		return "epoll_ioctl"
	}
	return ""
}

// fdLink is what /proc/self/fd says of fd, "" where it does not.
func fdLink(fd int) string {
	path := append(strconv.AppendInt([]byte("/proc/self/fd/"), int64(fd), 10), 0)
	var buf [64]byte
	dir := unix.AT_FDCWD
	n, _, errno := syscall.RawSyscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(&path[0])), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	if errno != 0 {
		return ""
	}
	return string(buf[:n])
}

// Path is the documented path of the kernel that the call takes. Its Name is
// "" for calls of which the catalogue has none, such as rt_sigprocmask.
func (c *Call) Path() Path { return Path{Name: c.path} }
