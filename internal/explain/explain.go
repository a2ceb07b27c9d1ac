// Package explain says what the calls of an strace log did: a sentence for
// each, the documented kernel path behind it with the branch that its outcome
// took, the story of each descriptor, and warnings for known mistakes.
//
// All of it comes from what a line says. Who woke a sleeping call is not in a
// log, and the order of lines does not tell it: nothing here claims a waker.
package explain

import (
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// Note is what there is to say of one record. It is valid until the next call
// of Explain.
type Note struct {
	Summary  []byte   // one sentence; empty where there is none
	Paths    []string // documented paths, that of the call first
	Branches []string // taken ones, by the catalogue's names
	Maybe    []string // branches that the call takes only if somebody waits
	FDs      []int    // descriptors that the call is about
	Kind     string   // of the first of them: "eventfd", "epoll", ...
	Outcome  Outcome
	Elapsed  int64 // nanoseconds in the call, -1 where the log does not say
	Runtime  bool  // of the Go runtime's own poller
	Stories  []string
	Warnings []string
}

// Outcome is how a call ended, as far as the log says.
type Outcome uint8

const (
	Unknown   Outcome = iota // returned at once or slept: the log has no times
	AtOnce                   // without sleeping
	Slept                    // slept, then something happened
	TimedOut                 // slept until the time-out
	Again                    // EAGAIN: would have slept
	Signalled                // a signal ended the sleep
	Failed                   // with another error
	KilledIn                 // the thread died in it
	Going                    // first half only
)

var outcomeNames = [...]string{"", "at once", "slept", "timed out", "EAGAIN", "signal", "failed", "killed in it", "unfinished"}

func (o Outcome) String() string { return outcomeNames[o] }

// Explainer keeps what earlier lines said, within bounds.
type Explainer struct {
	note  Note
	state state
	fds   []fdMask // scratch
}

// New returns an Explainer for one log.
func New() *Explainer {
	x := &Explainer{}
	x.state.init()
	return x
}

// handler explains one system call.
type handler func(x *Explainer, rec *strace.Record, th *thread)

var handlers = map[string]handler{
	"eventfd": (*Explainer).eventfd, "eventfd2": (*Explainer).eventfd,
	"read": (*Explainer).read, "write": (*Explainer).write,
	"poll": (*Explainer).poll, "ppoll": (*Explainer).poll, "ppoll_time64": (*Explainer).poll,
	"select": (*Explainer).selects, "_newselect": (*Explainer).selects, "pselect6": (*Explainer).selects, "pselect6_time64": (*Explainer).selects,
	"epoll_create": (*Explainer).epollCreate, "epoll_create1": (*Explainer).epollCreate,
	"epoll_ctl":  (*Explainer).epollCtl,
	"epoll_wait": (*Explainer).epollWait, "epoll_pwait": (*Explainer).epollWait, "epoll_pwait2": (*Explainer).epollWait,
	"close": (*Explainer).close, "close_range": (*Explainer).closeRange,
	"dup": (*Explainer).dup, "dup2": (*Explainer).dup, "dup3": (*Explainer).dup, "fcntl": (*Explainer).fcntl, "fcntl64": (*Explainer).fcntl,
	"clone": (*Explainer).clone, "clone3": (*Explainer).clone, "fork": (*Explainer).clone, "vfork": (*Explainer).clone,
	"execve": (*Explainer).exec, "execveat": (*Explainer).exec,
	"restart_syscall": (*Explainer).restart, "rt_sigreturn": (*Explainer).sigreturn,
	"ioctl": (*Explainer).ioctl, "io_submit": (*Explainer).ioSubmit, "io_uring_register": (*Explainer).uringRegister,

	"open": (*Explainer).opens, "openat": (*Explainer).opens, "openat2": (*Explainer).opens, "creat": (*Explainer).opens,
	"socket": (*Explainer).opens, "accept": (*Explainer).opens, "accept4": (*Explainer).opens,
	"timerfd_create": (*Explainer).opens, "signalfd": (*Explainer).opens, "signalfd4": (*Explainer).opens,
	"inotify_init": (*Explainer).opens, "inotify_init1": (*Explainer).opens, "pidfd_open": (*Explainer).opens, "pidfd_getfd": (*Explainer).opens,
	"memfd_create": (*Explainer).opens, "io_uring_setup": (*Explainer).opens, "userfaultfd": (*Explainer).opens, "perf_event_open": (*Explainer).opens,
	"fanotify_init": (*Explainer).opens, "bpf": (*Explainer).opens, "fsopen": (*Explainer).opens, "fsmount": (*Explainer).opens, "open_tree": (*Explainer).opens,
	"pipe": (*Explainer).pair, "pipe2": (*Explainer).pair, "socketpair": (*Explainer).pair,
	"recvmsg": (*Explainer).received, "recvmmsg": (*Explainer).received,
}

// Concerns reports whether a call is one of eventfd, poll, select and epoll,
// whatever its arguments.
func Concerns(name string) bool {
	switch name {
	case "eventfd", "eventfd2", "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64",
		"epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2":
		return true
	}
	return false
}

// Explain returns what there is to say of a record, nil where there is
// nothing.
func (x *Explainer) Explain(rec *strace.Record) *Note {
	n := &x.note
	*n = Note{Summary: n.Summary[:0], Paths: n.Paths[:0], Branches: n.Branches[:0], Maybe: n.Maybe[:0], FDs: n.FDs[:0],
		Stories: n.Stories[:0], Warnings: n.Warnings[:0], Elapsed: -1}
	switch rec.Type {
	case strace.CallLine, strace.Resumed:
		h := handlers[rec.Call.Name]
		if h == nil {
			x.otherCall(rec)
			return nil
		}
		th := x.state.thread(rec.PID)
		h(x, rec, th)
		if rec.Call.Injected {
			n.Paths, n.Branches, n.Maybe = n.Paths[:0], n.Branches[:0], n.Maybe[:0]
		}
		th.last = rec.Call.Name
	case strace.Unfinished:
		x.firstHalf(rec)
	case strace.Signal:
		x.signal(rec)
	case strace.Exit:
		x.exit(rec)
	case strace.Diagnostic:
		x.state.announced(rec)
		return nil
	default:
		return nil
	}
	if len(n.Summary) == 0 && len(n.Paths) == 0 && len(n.Stories) == 0 && len(n.Warnings) == 0 && len(n.FDs) == 0 {
		return nil
	}
	return n
}

// otherCall is a call that has no story of its own; it still ends a loop.
func (x *Explainer) otherCall(rec *strace.Record) {
	if th := x.state.threads[rec.PID]; th != nil {
		switch rec.Call.Name {
		case "futex", "clock_gettime", "gettimeofday", "time", "getpid", "gettid", "sched_yield":
		default:
			th.quiet()
		}
		th.last = rec.Call.Name
	}
	switch rec.Call.Name {
	case "recvfrom", "recv", "readv", "pread64", "preadv", "accept", "io_getevents":
		x.state.sawReads = true
	}
}

// elapsed is how long the call took: as -T says, or from the times of its two
// halves.
func elapsed(rec *strace.Record) int64 {
	c := &rec.Call
	if c.Duration >= 0 {
		return c.Duration
	}
	if c.First > 0 && (rec.Clock == strace.Wall || rec.Clock == strace.Epoch) && rec.Time >= c.FirstTime && c.FirstTime > 0 {
		return rec.Time - c.FirstTime
	}
	return -1
}

// A traced call takes long without sleeping, since strace stops it twice: only
// what is well beyond that is taken for a sleep, and only what is far below it
// for none.
const (
	surelySlept = 10_000_000
	surelyNot   = 100_000
)

// ended sets the outcome of a call that waits. limit is the time-out in
// nanoseconds, negative for none.
func (x *Explainer) ended(rec *strace.Record, th *thread, limit, left int64) {
	n, c := &x.note, &rec.Call
	n.Elapsed = elapsed(rec)
	if n.Elapsed < 0 && left >= 0 && limit >= 0 {
		n.Elapsed = max(limit-left, 0)
	}
	switch {
	case rec.Type == strace.Unfinished:
		n.Outcome = Going
	case c.Killed:
		n.Outcome = KilledIn
	case c.NoValue || c.Errno == "EINTR":
		n.Outcome = Signalled
		if n.Elapsed >= surelySlept {
			n.branch("slept")
		} else {
			n.Maybe = append(n.Maybe, "slept") // the signal may have been there before
		}
		n.branch("EINTR")
		th.interrupted = interrupted{name: c.Name, line: rec.Line, code: c.Errno}
	case c.Errno == "EAGAIN":
		n.Outcome = Again
		n.branch("EAGAIN")
	case c.Errno != "":
		n.Outcome = Failed
		n.branch(c.Errno)
	case c.Value == 0 && limit != 0 && waits(c.Name):
		n.Outcome = TimedOut
		n.branch("slept")
		n.branch("timed-out")
		n.path("timeout")
	case limit == 0:
		n.Outcome = AtOnce
	case n.Elapsed >= surelySlept:
		n.Outcome = Slept
		n.branch("slept")
	case n.Elapsed >= 0 && n.Elapsed < surelyNot:
		n.Outcome = AtOnce
	}
	switch {
	case n.Outcome == Signalled:
		n.path("signal")
	case n.Outcome == Unknown && limit != 0:
		n.Maybe = append(n.Maybe, "slept")
	}
}

// waits reports whether a result of 0 means that time ran out.
func waits(name string) bool { return name != "read" && name != "write" }

func (n *Note) branch(b string) {
	for _, have := range n.Branches {
		if have == b {
			return
		}
	}
	n.Branches = append(n.Branches, b)
}

func (n *Note) path(p string) {
	if p == "" {
		return
	}
	for _, have := range n.Paths {
		if have == p {
			return
		}
	}
	n.Paths = append(n.Paths, p)
}

func (n *Note) fd(fd int) {
	if len(n.FDs) < 64 {
		n.FDs = append(n.FDs, fd)
	}
}
