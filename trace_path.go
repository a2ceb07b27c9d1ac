//go:build linux

package efd

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/reach"
	"github.com/efd-go/efd/internal/ktrace/running"
	"golang.org/x/sys/unix"
)

// Path is a documented path of the kernel: which function calls which.
type Path struct {
	Name      string // of the catalogue, such as "eventfd_write"
	Kernel    string // the version that the edges hold for
	DecidedBy string // the criterion between variants: the version, or symbols of the running kernel
	Edges     []Edge
}

// Edge is one call of a [Path]: Caller calls Callee.
type Edge struct {
	Caller, Callee string
	File           string // of the kernel's source, where the call is written
	Line           int    // of the call in the source of the version that Path.DecidedBy says was reviewed, 0 if none is claimed
	Kind           string // direct, inline, macro, pointer or tracepoint
	Note           string // the callee's role in the path
	Verdict        Verdict
	Evidence       string // the ground of the verdict
}

// Verdict is the result for an edge of comparing it with the running kernel. It
// is "" if nothing was observed.
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
		switch r.link {
		case fdEventFD:
			return "eventfd_release"
		case fdEpoll:
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

// fdKind is the kind of a descriptor, for the path of its close.
type fdKind uint8

const (
	fdOther fdKind = iota
	fdEventFD
	fdEpoll
)

func kindOfFD(fd int) fdKind {
	var buf [64]byte
	switch link := string(readFDLink(fd, buf[:])); {
	case strings.HasSuffix(link, "[eventfd]"):
		return fdEventFD
	case strings.HasSuffix(link, "[eventpoll]"):
		return fdEpoll
	}
	return fdOther
}

// readFDLink reads the link of fd in /proc/self/fd, cut to buf. No tracer is
// called for it.
func readFDLink(fd int, buf []byte) []byte {
	var room [32]byte
	path := append(strconv.AppendInt(append(room[:0], "/proc/self/fd/"...), int64(fd), 10), 0)
	dir := unix.AT_FDCWD
	n, _, errno := syscall.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(unsafe.SliceData(path))),
		uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0, 0)
	if errno != 0 {
		return nil
	}
	return buf[:n]
}

// Path returns the documented path of the call, as it holds for the running
// kernel. Its Name is "" for calls that are not in the catalogue, such as
// rt_sigprocmask, and for the close of a descriptor that is neither an eventfd
// nor an epoll. A call that failed has the edges that the kernel takes up to
// that error, or those up to the system call's own function if the catalogue
// does not have these. The first call reads the catalogue and /proc/kallsyms,
// which takes some tenths of a second.
func (c *Call) Path() Path {
	if c.path == "" {
		return Path{}
	}
	k := runningKernel()
	doc, err := catalog.Default().Path(c.path, k.version, k.symbols)
	if err != nil {
		return Path{Name: c.path}
	}
	if c.Errno != 0 {
		failed := *doc
		failed.Edges = reach.Failed(doc, c.Syscall, unix.ErrnoName(c.Errno))
		doc = &failed
	}
	return publicPath(doc)
}

type kernel struct {
	version ktrace.Version
	symbols ktrace.SymbolSet
}

var theKernel struct {
	once sync.Once
	kernel
}

func runningKernel() kernel {
	theKernel.once.Do(func() {
		_, theKernel.version, _ = running.Kernel() // of a version that cannot be read the oldest paths are the answer
		// With hidden addresses there is an error, and the names that matter here.
		if t, _ := ksym.Load(); t != nil {
			theKernel.symbols = t
		}
	})
	return theKernel.kernel
}

func publicPath(doc *ktrace.Path) Path {
	p := Path{Name: doc.Name, Kernel: doc.Kernel, DecidedBy: doc.DecidedBy, Edges: make([]Edge, len(doc.Edges))}
	for i, e := range doc.Edges {
		p.Edges[i] = Edge{Caller: e.Caller, Callee: e.Callee, File: e.File, Line: e.Line, Kind: string(e.Kind), Note: e.Note}
	}
	return p
}
