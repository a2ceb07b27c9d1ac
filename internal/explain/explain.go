//go:build linux

// Package explain says what the calls of an strace log did: a sentence for
// each, the documented kernel path behind it with the branch that its outcome
// took, the story of each descriptor, and warnings for known mistakes.
//
// All of it comes from what a line says. Who woke a sleeping call is not in a
// log, nor in the order of its lines: nothing here claims a waker.
package explain

import (
	"encoding/binary"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// Note is what there is to say of one record. It is valid until the next call
// of Explain.
type Note struct {
	Summary  []byte   // one sentence; empty if there is none
	Paths    []string // documented paths, that of the call first
	Branches []string // taken ones, by the catalogue's names
	Maybe    []string // branches that the call takes only if somebody waits
	Ways     []string // how far it got, by the catalogue's names
	FDs      []int    // descriptors that the call is about
	Kind     string   // of the first of them: "eventfd", "epoll", ...
	Outcome  Outcome
	Elapsed  int64 // nanoseconds in the call, -1 if the log does not say
	Runtime  bool  // of the Go runtime's own poller
	Stories  []string
	Later    []string // documented paths that an event takes later, not the call
	When     string   // what that event is
	Warnings []*Warning

	call  string   // its name
	why   string   // it failed, in words
	asked []string // kinds of the files whose poll operation ran, "" for unknown ones

	span    span  // what the log proves of its length
	limit   int64 // its time-out, noLimit if that is not known
	zero    bool  // it returned that nothing is ready
	coarse  bool  // the log counts seconds
	follows bool  // the line after may bound its length
	bare    int   // the index of the length in Summary, 0 if it is not said
	began   begin
}

func (n *Note) reset() {
	n.Summary, n.Paths, n.Branches, n.Maybe, n.FDs = n.Summary[:0], n.Paths[:0], n.Branches[:0], n.Maybe[:0], n.FDs[:0]
	n.Stories, n.Warnings = n.Stories[:0], n.Warnings[:0]
	n.Later, n.When = n.Later[:0], ""
	n.Kind, n.Outcome, n.Elapsed, n.Runtime = "", Unknown, -1, false
	n.Ways, n.asked, n.call, n.why = n.Ways[:0], n.asked[:0], "", ""
	n.span, n.limit, n.zero, n.coarse, n.follows, n.bare, n.began = anySpan, noLimit, false, false, false, 0, begin{}
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
	// Slept reports whether the call that returns in a line is known to have
	// slept, from elsewhere than the log. May be nil.
	Slept func(line int) bool
	// Kernel is the version that the log is of, "" if it is not known.
	Kernel string

	// Elsewhere says by what the log shows that it is of another machine than
	// the paths, "" while it does not.
	Elsewhere string

	// Lengths counts the calls of a Timeline of which the log gives the length.
	Lengths int

	order  binary.ByteOrder // of the log's machine, as far as known
	clock  clock
	halves bool // the log has calls in two halves, and so the order of strace
	note   Note
	tale   Note // scratch: a story
	state  state
	mixed  bool // calls and results are, from here on
	known  knownCalls
	fds    []fdMask // scratch

	raised    raised
	finished  bool
	lost      []string
	diagnosis diagnosis
}

// New returns an Explainer for one log.
func New() *Explainer {
	x := &Explainer{order: binary.NativeEndian}
	x.state.init()
	return x
}

// handler explains one system call.
type handler func(x *Explainer, rec *strace.Record, th *thread)

// handlerOf returns what explains a call, nil for calls that have no story of
// their own.
func handlerOf(name string) handler {
	switch name {
	case "eventfd", "eventfd2":
		return (*Explainer).eventfd
	case "read":
		return (*Explainer).read
	case "write":
		return (*Explainer).write
	case "poll", "ppoll", "ppoll_time64":
		return (*Explainer).poll
	case "select", "_newselect", "pselect6", "pselect6_time64":
		return (*Explainer).selects
	case "epoll_create", "epoll_create1":
		return (*Explainer).epollCreate
	case "epoll_ctl":
		return (*Explainer).epollCtl
	case "epoll_wait", "epoll_pwait", "epoll_pwait2":
		return (*Explainer).epollWait
	case "close":
		return (*Explainer).close
	case "close_range":
		return (*Explainer).closeRange
	case "dup", "dup2", "dup3":
		return (*Explainer).dup
	case "fcntl", "fcntl64":
		return (*Explainer).fcntl
	case "clone", "clone3", "fork", "vfork":
		return (*Explainer).clone
	case "execve", "execveat":
		return (*Explainer).exec
	case "restart_syscall":
		return (*Explainer).restart
	case "rt_sigreturn", "sigreturn":
		return (*Explainer).sigreturn
	case "ioctl":
		return (*Explainer).ioctl
	case "io_submit":
		return (*Explainer).ioSubmit
	case "io_uring_register":
		return (*Explainer).uringRegister
	case "open", "openat", "openat2", "creat", "socket", "accept", "accept4", "timerfd_create", "signalfd", "signalfd4",
		"inotify_init", "inotify_init1", "pidfd_open", "pidfd_getfd", "memfd_create", "io_uring_setup", "userfaultfd",
		"perf_event_open", "fanotify_init", "bpf", "fsopen", "fsmount", "open_tree":
		return (*Explainer).opens
	case "pipe", "pipe2", "socketpair":
		return (*Explainer).pair
	case "recvmsg", "recvmmsg":
		return (*Explainer).received
	case "sendmsg", "sendmmsg":
		return (*Explainer).sent
	case "unshare":
		return (*Explainer).unshared
	}
	return nil
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

// forget drops all that is known of threads and descriptors: the log does not say
// how the calls from here on end.
func (x *Explainer) forget() {
	x.mixed = true
	x.state, x.diagnosis = state{letFDs: x.state.letFDs, letThreads: x.state.letThreads}, diagnosis{lastLine: x.diagnosis.lastLine}
	x.raised.left = nil
	x.state.init()
}

// Explain returns what there is to say of a record, nil if there is
// nothing.
func (x *Explainer) Explain(rec *strace.Record) *Note {
	n := &x.note
	n.reset()
	x.times(rec)
	x.machine(rec)
	if len(x.diagnosis.unseen) > 0 {
		delete(x.diagnosis.unseen, rec.PID)
	}
	if x.diagnosis.cut != nil {
		x.goesOn(rec)
	}
	switch rec.Type {
	case strace.CallLine, strace.Resumed:
		x.runtimeOf(rec)
		k := x.known.of(rec.Call.Name)
		if k.proves != "" {
			x.proves(rec, x.state.thread(rec.PID), k.proves)
		}
		h := k.handler
		if h == nil {
			x.otherCall(rec)
			x.diagnose(rec, k)
			break
		}
		th := x.state.thread(rec.PID)
		n.call = rec.Call.Name
		if orphaned(rec) {
			x.orphan(rec, th)
			x.diagnose(rec, k)
			break
		}
		h(x, rec, th)
		if rec.Call.Injected {
			n.Paths, n.Branches, n.Maybe = n.Paths[:0], n.Branches[:0], n.Maybe[:0]
		}
		if n.Outcome == Unknown && rec.Call.Errno != "" && rec.Call.HasValue {
			n.Outcome = Failed
		}
		if n.Outcome == Failed && len(n.Paths) > 1 && !n.wrote() {
			n.Paths = n.Paths[:1] // it did not come to them
		}
		x.diagnose(rec, k)
	case strace.Unfinished:
		x.firstHalf(rec)
		x.began(rec, x.state.thread(rec.PID))
	case strace.Signal:
		x.runtimeOf(rec)
		x.signal(rec)
	case strace.Exit:
		x.gone(rec)
		x.exit(rec)
	case strace.Diagnostic:
		x.state.announced(rec)
		return nil
	default:
		if rec.Mixed && !x.mixed {
			x.forget()
		}
		return nil
	}
	if len(n.Summary) == 0 && len(n.Paths) == 0 && len(n.Stories) == 0 && len(n.Warnings) == 0 && len(n.FDs) == 0 && len(n.Later) == 0 {
		return nil
	}
	return n
}

// vector counts a readv or writev of an eventfd, whose value the log does not
// show in one piece.
func (th *thread) vector(c *strace.Call) {
	switch c.Name {
	case "readv", "preadv2", "writev", "pwritev2":
	default:
		return
	}
	fd, ok := c.FD()
	if !ok || c.Errno != "" || !c.HasValue {
		return
	}
	if d := th.table.get(fd.N); d != nil && d.closed == 0 && d.file.kind == "eventfd" {
		d.file.unvalued = true
		if c.Name == "readv" || c.Name == "preadv2" {
			d.file.reads++
		} else {
			d.file.writes++
		}
	}
}

// otherCall is a call that has no story of its own.
func (x *Explainer) otherCall(rec *strace.Record) {
	if th := x.state.find(rec.PID); th != nil {
		th.vector(&rec.Call)
	}
	switch rec.Call.Name {
	case "recvfrom", "recv", "readv", "pread64", "preadv", "accept", "io_getevents":
		x.state.sawReads = true
	}
}

// ended sets the outcome of a call that waits. limit is the time-out in
// nanoseconds, negative for none, noLimit if the log does not show it; left is
// what of it was left, -1 if the log does not say.
func (x *Explainer) ended(rec *strace.Record, th *thread, limit, left int64) {
	n, c := &x.note, &rec.Call
	n.limit, n.span, n.coarse = limit, x.took(rec, th), x.clock.tick >= 1e9
	if rec.Type == strace.CallLine && rec.Clock != strace.NoClock {
		n.began = begin{x.clock.moment(rec.Line), rec.PID}
	}
	if n.span.most < 0 && left >= 0 && limit >= 0 {
		used := max(limit-left, 0)
		n.span = span{used, used}
	}
	if n.span.exact() {
		n.Elapsed = n.span.most
	}
	n.zero = c.HasValue && c.Errno == "" && c.Value == 0 && waits(c.Name) && !c.Injected
	slept := x.Slept != nil && x.Slept(rec.Line)
	switch {
	case rec.Type == strace.Unfinished:
		n.Outcome = Going
	case c.Killed:
		n.Outcome = KilledIn
		n.way("EINTR")
	case c.NoValue || c.Errno == "EINTR":
		n.Outcome = Signalled
		n.branch("EINTR")
		n.way("EINTR")
		th.interrupted = interrupted{name: c.Name, line: rec.Line}
	case c.Errno == "EAGAIN":
		n.Outcome = Again
		n.branch("EAGAIN")
		n.way("EAGAIN")
	case c.Errno != "":
		n.Outcome = Failed
		n.branch(c.Errno)
	case c.Value == 0 && limit > 0 && waits(c.Name):
		n.Outcome = TimedOut
		n.branch("slept")
		n.branch("timed-out")
		n.path("timeout")
	case limit == 0:
		n.Outcome = AtOnce
	case slept:
		n.Outcome = Slept
		n.branch("slept")
	}
	switch {
	case n.Outcome == Signalled:
		n.path("signal")
		if slept {
			n.branch("slept")
		} else {
			n.Maybe = append(n.Maybe, "slept") // the signal may have been there before
		}
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

// way adds how far the call got.
func (n *Note) way(w string) {
	for _, have := range n.Ways {
		if have == w {
			return
		}
	}
	n.Ways = append(n.Ways, w)
}

// ask notes that the poll operation of a file of this kind ran.
func (n *Note) ask(kind string) {
	for _, have := range n.asked {
		if have == kind {
			return
		}
	}
	if len(n.asked) < 16 {
		n.asked = append(n.asked, kind)
	}
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
