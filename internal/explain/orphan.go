//go:build linux

package explain

import (
	"bytes"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// orphaned reports whether a record is the second half of a call whose first
// half the log does not have. It has the last arguments, and not the first.
func orphaned(rec *strace.Record) bool { return rec.Type == strace.Resumed && rec.Call.First == 0 }

// orphan says all that the second half of a call shows, and nothing of how the
// call went: what it waited for, and since when, is not known.
func (x *Explainer) orphan(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	if c.NoValue || c.Errno == "EINTR" {
		th.interrupted = interrupted{name: c.Name, line: rec.Line}
	}
	switch c.Name {
	case "poll", "ppoll", "ppoll_time64":
		n.sayOrphan("poll", c.Name)
		x.fds = x.fds[:0]
		x.results(c, &x.fds)
		if n.sayEnd(c) {
			x.sayAnswers(x.fds)
		}
		for _, m := range x.fds {
			x.concern(x.state.use(th, m.fd), m.fd.N)
		}
	case "select", "_newselect", "pselect6", "pselect6_time64":
		n.sayOrphan("select", c.Name)
		if n.sayEnd(c) {
			n.saySets(c)
		}
	case "epoll_wait", "epoll_pwait", "epoll_pwait2":
		n.sayOrphan("epoll_wait", c.Name)
		if limit, known := epollLimit(c.Name, arg(c, 2)); known {
			n.sayLimit(limit)
		}
		if n.sayEnd(c) {
			x.sayEvents(arg(c, 0), nil)
		}
	case "epoll_ctl":
		n.sayOrphan("epoll_ctl", c.Name)
		n.sayEnd(c)
	case "eventfd", "eventfd2", "epoll_create", "epoll_create1":
		x.orphanMade(rec, th)
	case "read", "write":
		x.state.sawReads = x.state.sawReads || c.Name == "read"
	case "dup", "dup2", "dup3":
		if fd, ok := strace.ParseFD(c.Result); ok && c.Errno == "" && c.HasValue && fd.N >= 0 {
			x.state.open(th.table, fd.N, &file{kind: fd.Kind()})
		}
	case "restart_syscall":
		th.interrupted = interrupted{}
	default:
		x.known.of(c.Name).handler(x, rec, th)
	}
}

// sayOrphan begins the sentence of a second half.
func (n *Note) sayOrphan(path, name string) {
	n.path(path)
	n.Maybe = append(n.Maybe, "slept", "registered")
	n.say("the end of a call of ", name, " whose beginning is not in the log")
}

// sayEnd says the result of such a call, and reports whether anything is ready.
func (n *Note) sayEnd(c *strace.Call) bool {
	switch {
	case c.Errno == "EINTR" || c.NoValue:
		n.say(": a signal ends it")
		if c.Errno != "" {
			n.say(" (", c.Errno, ")")
		}
		n.branch("EINTR")
		n.path("signal")
	case c.Errno != "":
		n.branch(c.Errno)
		n.say(": fails with ", c.Errno)
	case c.HasValue && waits(c.Name) && c.Name != "epoll_ctl":
		if c.Value == 0 {
			n.say(": nothing ready")
			break
		}
		n.say(": ")
		n.sayInt(c.Value)
		n.say(" ready")
		return true
	}
	return false
}

// orphanMade is for a call that makes a descriptor. Its flags are not known.
func (x *Explainer) orphanMade(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	kind, path := "eventfd", "eventfd2"
	if c.Name == "epoll_create" || c.Name == "epoll_create1" {
		kind, path = "epoll", "epoll_create1"
	}
	n.path(path)
	if !c.HasValue || c.Errno != "" {
		n.branch(c.Errno)
		n.say("makes no ", kind, ": ", c.Errno)
		return
	}
	fd, ok := strace.ParseFD(c.Result)
	if !ok {
		return
	}
	x.state.open(th.table, fd.N, &file{kind: kind, made: rec.Line, call: c.Name, vague: true})
	x.concern(th.table.get(fd.N), fd.N)
	n.say("makes ")
	n.sayFD(kind, fd.N)
	n.say("; the beginning of the call is not in the log")
}

// saySets writes which members of the sets of a select are ready.
func (n *Note) saySets(c *strace.Call) {
	note := c.Note
	if i := bytes.Index(note, []byte(", left ")); i >= 0 {
		note = note[:i]
	}
	if len(note) > 0 {
		n.say(", ")
		n.sayBytes(bytes.ReplaceAll(note, []byte("]]"), []byte("]"))) // strace prints one too many
	}
}
