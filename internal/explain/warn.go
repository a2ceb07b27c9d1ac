//go:build linux

package explain

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// How often in a row something has to happen to be called a loop.
const loopRuns = 8

// loop warns of EAGAIN over and over on the same descriptor.
func (x *Explainer) loop(rec *strace.Record, th *thread, d *descriptor, fd int) {
	if rec.Call.Errno != "EAGAIN" {
		th.againRuns = 0
		return
	}
	if th.againFD != fd {
		th.againFD, th.againRuns = fd, 0
	}
	th.againRuns++
	if th.againRuns == loopRuns && d.file.warned&warnedAgain == 0 {
		d.file.warned |= warnedAgain
		x.note.Warnings = append(x.note.Warnings, fmt.Sprintf("%s %d has answered EAGAIN %d times in a row, with no wait in between: a busy loop; poll it first", kindOr(d.file.kind), fd, loopRuns))
	}
}

func kindOr(kind string) string {
	if kind == "" {
		return "fd"
	}
	return kind
}

// spin warns of a level-triggered epoll that is asked again and again while
// nobody takes away what makes it ready.
func (x *Explainer) spin(rec *strace.Record, th *thread, fd int, ep *file, ready, limit int64, edge bool) {
	if rec.Type == strace.Unfinished {
		return
	}
	if ready <= 0 || edge || th.spinEpoll != fd {
		th.spinRuns = 0
	}
	if ready <= 0 || edge {
		return
	}
	th.spinEpoll = fd
	th.spinRuns++
	if th.spinRuns == loopRuns && ep.warned&warnedSpin == 0 && (x.state.sawReads || limit != 0) {
		ep.warned |= warnedSpin
		x.note.Warnings = append(x.note.Warnings, fmt.Sprintf(
			"epoll %d has been ready %d times in a row and nothing was read in between: it is level-triggered and spins; take the event away (read the counter), or use EPOLLET", fd, loopRuns))
	}
}

// nval warns of a descriptor that is polled again after POLLNVAL, and of one
// that is polled after its close.
func (x *Explainer) nval(rec *strace.Record, th *thread, fds []fdMask) {
	if rec.Type == strace.Unfinished || rec.Call.Errno != "" || !rec.Call.HasValue {
		return
	}
	before := th.lastPoll
	var now []int
	for _, m := range fds {
		if m.fd.N < 0 || m.revents == nil || !strace.Has(m.revents, "POLLNVAL", 0x20) {
			continue
		}
		now = append(now, m.fd.N)
		d := th.table.get(m.fd.N)
		if d != nil && d.closed != 0 {
			x.note.warnClosed(d)
		}
		if slices.Contains(before, m.fd.N) && (d == nil || d.file.warned&warnedNval == 0) {
			x.note.Warnings = append(x.note.Warnings, fmt.Sprintf("fd %d answered POLLNVAL before and is polled again: it is not open, every such poll returns at once", m.fd.N))
			if d != nil {
				d.file.warned |= warnedNval
			}
		}
	}
	th.lastPoll = now
}

func (n *Note) warnClosed(d *descriptor) {
	if d.warned {
		return
	}
	d.warned = true
	n.Warnings = append(n.Warnings, fmt.Sprintf("fd %d was closed at line %d and is waited for here", d.fd, d.closed))
}

// leftBehind warns of registrations that outlive a descriptor because the
// file has another.
func (x *Explainer) leftBehind(d *descriptor) {
	f := d.file
	if f.open <= 0 || f.warned&warnedDup != 0 || d.table.guessed {
		return
	}
	var in []string
	for _, r := range f.regs {
		if r.fd == d.fd && r.table == d.table {
			in = append(in, fmt.Sprintf("epoll %d (line %d)", r.epoll.lastFD, r.line))
		}
	}
	if len(in) == 0 {
		return
	}
	f.warned |= warnedDup
	x.note.Warnings = append(x.note.Warnings, fmt.Sprintf(
		"%s %d is closed here but its registration in %s stays, since another descriptor keeps the file open: events go on to come for a number that no longer exists, and EPOLL_CTL_DEL with it is EBADF",
		kindOr(f.kind), d.fd, strings.Join(in, ", ")))
}

// neverRead warns of an eventfd that was written and never read.
func (x *Explainer) neverRead(fd int, f *file) {
	if f.kind != "eventfd" || f.writes == 0 || f.reads > 0 || f.kernel != "" || x.state.given || !x.state.sawReads || f.warned&warnedRead != 0 || f.made == 0 || f.open > 0 {
		return
	}
	for _, r := range f.regs {
		if r.edge {
			return // with EPOLLET a write alone makes each event
		}
	}
	f.warned |= warnedRead
	x.note.Warnings = append(x.note.Warnings, fmt.Sprintf("eventfd %d was written %s and never read: its counter stays above 0, and it stays ready", fd, times(f.writes)))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}

// story tells what became of an eventfd or epoll.
func (x *Explainer) story(d *descriptor, f *file, closed int) string {
	n := &x.told
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
	n.sayTimes("waited on", f.waits)
	if f.kernel != "" {
		n.say(", given to ", f.kernel)
	}
	if closed > 0 {
		n.say(", closed")
		n.sayLine(" at", closed)
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
func (n *Note) sayTimes(what string, count int) {
	switch count {
	case 0:
	case 1:
		n.say(", ", what, " once")
	default:
		n.say(", ", what, " ")
		n.sayInt(int64(count))
		n.say(" times")
	}
}

// sayTotal writes what transfers come to, where the log shows all of them.
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

// Finish returns the stories and warnings of what is open when the log ends,
// and what had to be let go. halves is how many first halves the reader let
// go.
func (x *Explainer) Finish(halves int) (stories, warnings, lost []string) {
	n := &x.note
	n.Warnings = n.Warnings[:0]
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
		open := f.open
		f.open = 0
		x.neverRead(d.fd, f)
		f.open = open
	}
	if more := len(seen) - len(stories); more > 0 {
		stories = append(stories, fmt.Sprintf("%d more are open at the end", more))
	}
	warnings = slices.Clone(n.Warnings)
	for _, l := range []struct {
		n    int
		what string
	}{{halves, "first halves of calls"}, {x.state.letFDs, "descriptors"}, {x.state.letThreads, "threads"}} {
		if l.n > 0 {
			lost = append(lost, fmt.Sprintf("%d %s were let go, the oldest first, to bound the memory: what came later about them is told without what came before", l.n, l.what))
		}
	}
	return stories, warnings, lost
}
