//go:build linux

package explain

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// leftBehind warns of registrations that outlive a descriptor because the
// file has another. If that is another process's, its execve or its own
// close may still end it.
func (x *Explainer) leftBehind(rec *strace.Record, d *descriptor) {
	f := d.file
	if f.open <= 0 || d.table.guessed {
		return
	}
	for _, r := range f.regs {
		if r.fd != d.fd || r.table != d.table {
			continue
		}
		left := leftReg{file: f, epoll: r.epoll, fd: d.fd, epfd: r.epoll.lastFD, line: r.line, closed: rec.Line}
		switch {
		case d.table.has(f):
			x.raiseLeft(rec, &left, "a duplicate keeps the file open")
		case len(x.raised.left) < maxWarnings:
			x.raised.left = append(x.raised.left, left)
		}
	}
}

// leftReg is a registration whose descriptor is closed, while another process
// has the file.
type leftReg struct {
	file, epoll  *file
	fd, epfd     int
	line, closed int
}

func (x *Explainer) raiseLeft(rec *strace.Record, l *leftReg, why string) {
	kind := kindOr(l.file.kind)
	w := x.raise(cause{code: "registration-left", about: l.file, n: int64(l.fd)}, rec, l.fd, l.epfd, func(*Warning) string {
		return fmt.Sprintf("%s %d is closed at line %d, but its registration in epoll %d (line %d) stays, since %s: events go on to come for a number that no longer exists, and EPOLL_CTL_DEL with it is EBADF",
			kind, l.fd, l.closed, l.epfd, l.line, why)
	})
	if w != nil && w.Count == 1 {
		w.Lines = []int{l.line}
		w.line(l.closed)
	}
}

// keptBehind warns, at the end of the log, of what another process keeps open.
func (x *Explainer) keptBehind() {
	if len(x.raised.left) == 0 {
		return
	}
	stays := map[*file]bool{}
	for at := x.state.descriptors.Oldest(); at != nil; at = at.Newer() {
		if d := at.Of; d.closed == 0 && !d.cloexec { // else it may go at any time
			stays[d.file] = true
		}
	}
	for i := range x.raised.left {
		l := &x.raised.left[i]
		if !stays[l.file] {
			continue
		}
		for _, r := range l.file.regs {
			if r.epoll == l.epoll && r.fd == l.fd {
				x.raiseLeft(&strace.Record{Line: l.closed}, l, "a child process keeps the file open")
			}
		}
	}
}

// neverRead warns of an eventfd that was written and never read until line, that
// of its last close or of the end of its process.
func (x *Explainer) neverRead(fd int, f *file, line int) {
	d := &x.diagnosis
	if f.kind != "eventfd" || f.writes == 0 || f.reads > 0 || f.kernel != "" || f.made == 0 ||
		f.call == "SCM_RIGHTS" || x.state.given || !x.state.sawReads {
		return
	}
	if d.shared || d.ring || f.traits.edges > 0 {
		return // somebody else may read it; and with EPOLLET a write alone makes each event
	}
	for _, r := range f.regs {
		if r.edge {
			return
		}
	}
	if len(d.unseen) > 0 { // a child that is not traced may; one that is has a line later
		if len(d.unread) < 64 {
			d.unread = append(d.unread, unread{fd, f, line})
		}
		return
	}
	writes, made := f.writes, f.made
	w := x.raise(cause{code: "never-read", about: f}, &strace.Record{Line: line}, fd, -1, func(*Warning) string {
		return fmt.Sprintf("eventfd %d was written %s and never read: its counter stayed above 0, and it stayed ready", fd, times(writes))
	})
	if w != nil {
		w.Count, w.Lines = writes, []int{made}
		w.line(line)
	}
}

func kindOr(kind string) string {
	if kind == "" {
		return "fd"
	}
	return kind
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

// story says what became of an eventfd or epoll.
func (x *Explainer) story(d *descriptor, f *file, closed int) string {
	n := &x.tale
	n.Summary = n.Summary[:0]
	n.sayFD(f.kind, d.fd)
	if d.duped > 0 {
		n.say(", a duplicate of ")
		n.sayInt(int64(d.source))
		n.sayLine(" since", d.duped)
	}
	if f.made > 0 {
		n.say(": made")
		n.sayLine(" at", f.made)
	} else {
		n.say(": there before the log")
	}
	if f.runtime {
		n.say(", the Go runtime's own")
	}
	for _, r := range f.regs {
		n.say(", in epoll ")
		n.sayInt(int64(r.epoll.lastFD))
		if r.fd != d.fd {
			n.say(" as ")
			n.sayInt(int64(r.fd))
		}
		if r.unseen {
			n.sayLine(" since before", r.line)
		} else {
			n.sayLine(" since", r.line)
		}
	}
	n.sayTimes("written", f.writes)
	n.sayTotal(f, f.writes, f.added)
	n.sayTimes("read", f.reads)
	n.sayTotal(f, f.reads, f.taken)
	n.sayTimes("EAGAIN", f.again)
	n.sayTimes("polled", f.polled)
	n.sayTimes("asked", f.waits)
	if f.kernel != "" {
		n.say(", given to ", f.kernel)
	}
	if closed > 0 {
		n.say(", closed")
		n.sayLine(" at", closed)
	} else if d.table.threads <= 0 && d.table.born && !d.table.guessed {
		n.say(", open until its process ended")
	} else {
		n.say(", open at the end")
	}
	return string(n.Summary)
}

func (n *Note) sayLine(word string, line int) {
	n.say(word, " line ")
	n.sayInt(int64(line))
}

// sayTimes writes ", read 3 times"; nothing for what never happened.
func (n *Note) sayTimes(done string, count int) {
	switch count {
	case 0:
	case 1:
		n.say(", ", done, " once")
	default:
		n.say(", ", done, " ")
		n.sayInt(int64(count))
		n.say(" times")
	}
}

// sayTotal writes what transfers come to, if the log shows all of them.
func (n *Note) sayTotal(f *file, count int, v uint64) {
	if count == 0 || f.unvalued {
		return
	}
	n.say(" (")
	if v == math.MaxUint64 {
		n.say("2^64 or more")
	} else {
		n.sayUint(v)
	}
	n.say(" in all)")
}

// Finish returns the stories of what is open when the log ends, the warnings
// that its end completes, and what had to be dropped. halves is how many first
// halves the reader dropped. A second call returns only the last of them.
func (x *Explainer) Finish(halves int) (stories []string, warnings []*Warning, lost []string) {
	n := &x.note
	n.Warnings = n.Warnings[:0]
	if x.finished {
		return nil, nil, x.lost
	}
	x.finished = true
	seen := map[*file]bool{}
	for at := x.state.descriptors.Oldest(); at != nil; at = at.Newer() {
		d, f := at.Of, at.Of.file
		if d.closed != 0 || seen[f] || f.kind != "eventfd" && f.kind != "epoll" {
			continue
		}
		seen[f] = true
		if len(stories) < 100 {
			stories = append(stories, x.story(d, f, 0))
		}
		if x.diagnosis.exited {
			x.neverRead(d.fd, f, x.diagnosis.lastLine)
		}
	}
	if more := len(seen) - len(stories); more > 0 {
		stories = append(stories, fmt.Sprintf("%d more are open at the end", more))
	}
	x.atEnd()
	warnings = slices.Clone(n.Warnings)
	for _, l := range []struct {
		n    int
		what string
	}{{halves, "first halves of calls"}, {x.state.letFDs, "descriptors"}, {x.state.letThreads, "threads"}} {
		if l.n > 0 {
			lost = append(lost, fmt.Sprintf("%d %s were let go, the oldest first, to bound the memory: what came later about them is told without what came before", l.n, l.what))
		}
	}
	x.lost = lost
	return stories, warnings, lost
}
