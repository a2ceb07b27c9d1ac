//go:build linux

package explain

import (
	"bytes"
	"slices"
	"time"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/uapi"
)

// fdMask is a member of a poll, as far as a sentence needs it.
type fdMask struct {
	fd      strace.FD
	events  []byte
	revents []byte
	elided  bool // strace prints 32 members, and this one in the answer alone
	kind    string
	rank    int
}

// maxSaid is how many members of a set a sentence names.
const maxSaid = 4

func (x *Explainer) poll(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	main := c.Name
	if main == "ppoll_time64" {
		main = "ppoll"
	}
	n.path(main)
	limit, known := pollLimit(c)
	if main != "poll" && badTime(arg(c, 2), 1) {
		known = false
	}
	if main == "ppoll" {
		if mask := arg(c, 3); mask != nil && !strace.Null(mask) {
			n.branch("masked")
		}
	}
	fds := x.fds[:0]
	ok := strace.PollFDs(arg(c, 0), func(p strace.PollFD) { fds = append(fds, fdMask{fd: p.FD, events: p.Events, revents: p.Revents}) })
	ok = ok || strace.Null(arg(c, 0))
	left := int64(-1)
	if c.Note != nil {
		left = x.results(c, &fds)
	}
	x.fds = fds
	count, _ := strace.Int(arg(c, 1))
	all := count <= int64(len(fds)) // of them are in the log
	switch {
	case !ok:
		n.sayWait("waits for ", limit, known)
		if set := arg(c, 0); len(set) > 0 && (set[0] == '[' || set[0] == '{') {
			n.say("descriptors of which the log does not have the whole list")
		} else {
			n.say("the descriptors at ")
			n.sayBytes(set)
		}
	case len(fds) == 0 && count != 0:
		n.sayWait("waits for ", limit, known)
		n.sayInt(count)
		n.say(" descriptors at NULL")
	default:
		n.sayWait("waits for ", limit, known)
		if len(fds) == 0 {
			n.sayNone(limit, known)
		}
		x.sayMembers(rec, th, fds, count)
	}
	if known {
		n.sayLimit(limit)
	}
	if !known {
		limit = noLimit
	}
	x.ended(rec, th, limit, left)
	n.pollFails(c)
	n.limitWays(limit, known)
	if n.Outcome == Unknown && c.HasValue && c.Value > 0 && closedBefore(rec, th, fds) {
		n.Outcome, n.Maybe = AtOnce, n.Maybe[:0]
	}
	if c.Errno == "ERESTART_RESTARTBLOCK" {
		n.branch("restart")
	}
	switch {
	case ok && count == 0:
		n.way("no-fds")
	case ok && all && n.Outcome != Slept && noneAsked(fds):
		n.way("unpolled")
	case limit != 0 && (n.Outcome != Failed || n.wrote()):
		n.branch("registered")
	}
	if n.sayReady(c) {
		x.sayAnswers(fds)
	}
	n.sayOutcome(c)
}

// sayReady says how many descriptors are ready, and reports whether any is.
func (n *Note) sayReady(c *strace.Call) bool {
	if c.HasValue && c.Errno == "" && c.Value > 0 {
		n.say(": ")
		n.sayInt(c.Value)
		n.say(" ready")
		return true
	}
	if n.zero && n.Outcome != TimedOut {
		n.say(": nothing ready")
	}
	return false
}

// limitWays is what a call without a time-out, or with one of 0, leaves out.
func (n *Note) limitWays(limit int64, known bool) {
	switch {
	case known && limit < 0:
		n.way("forever")
	case known && limit == 0:
		n.way("look")
	}
}

// noneAsked reports whether no member leads to a file: a number below 0 is
// skipped, and one that is not open answers POLLNVAL.
func noneAsked(fds []fdMask) bool {
	for _, m := range fds {
		if m.fd.N >= 0 && (m.revents == nil || !strace.Has(m.revents, "POLLNVAL", 0x20)) {
			return false
		}
	}
	return true
}

// closedBefore reports whether a member answers POLLNVAL that was closed before
// the call began: one is enough for it to return at once.
func closedBefore(rec *strace.Record, th *thread, fds []fdMask) bool {
	start := rec.Line
	if rec.Call.First > 0 {
		start = rec.Call.First
	}
	return slices.ContainsFunc(fds, func(m fdMask) bool {
		d := th.table.get(m.fd.N)
		return m.revents != nil && strace.Has(m.revents, "POLLNVAL", 0x20) && d != nil && d.closed != 0 && d.closed < start
	})
}

// pollLimit is the time-out in nanoseconds, negative for none.
func pollLimit(c *strace.Call) (ns int64, known bool) {
	a := arg(c, 2)
	switch {
	case a == nil:
		return 0, false
	case c.Name == "poll":
		return millis(a)
	case strace.Null(a):
		return -1, true
	}
	d, ok := strace.Timespec(a, 1)
	return int64(d), ok
}

// timeLeft splits the time left from the remark on a poll or select; it is -1 if
// it is not said.
func timeLeft(c *strace.Call) (note []byte, left int64) {
	i := bytes.LastIndex(c.Note, []byte("left {"))
	if i < 0 {
		return c.Note, -1
	}
	left = -1
	if d, ok := strace.Timespec(c.Note[i+len("left "):], unit(c.Name)); ok {
		left = int64(d)
	}
	return bytes.TrimSuffix(bytes.TrimRight(c.Note[:i], " "), []byte(",")), left
}

// results reads "[{fd=4, revents=POLLIN}], left {tv_sec=0, tv_nsec=0}" into
// the members, adds those that strace did not print before, and returns the
// time left, -1 if it is not said.
func (x *Explainer) results(c *strace.Call, fds *[]fdMask) (left int64) {
	note, left := timeLeft(c)
	strace.PollFDs(note, func(p strace.PollFD) {
		for i := range *fds {
			if m := &(*fds)[i]; m.fd.N == p.FD.N && m.revents == nil {
				m.revents = p.Revents
				return
			}
		}
		*fds = append(*fds, fdMask{fd: p.FD, revents: p.Revents, elided: true})
	})
	return left
}

// sayNone is said of a set without members.
func (n *Note) sayNone(limit int64, known bool) {
	if known && limit == 0 {
		n.say("no descriptor")
		return
	}
	n.say("nothing but time")
}

// sayMembers names the members of a poll, which are count in all.
func (x *Explainer) sayMembers(rec *strace.Record, th *thread, fds []fdMask, count int64) {
	n := &x.note
	negative := 0
	for i := range fds {
		m := &fds[i]
		if m.fd.N < 0 {
			negative++
			continue
		}
		d := x.state.use(th, m.fd)
		if rec.Type != strace.Unfinished {
			d.file.polled++
		}
		n.fd(m.fd.N)
		if m.revents == nil || !strace.Has(m.revents, "POLLNVAL", 0x20) {
			n.path(pollPath(d.file.kind))
			n.ask(d.file.pollKind())
		}
		if i == 0 {
			n.Kind = d.file.kind
		}
		m.kind, m.rank = d.file.kind, m.rankOf(d)
	}
	if count <= int64(len(fds)) || count > 1<<20 {
		count = int64(len(fds))
	}
	count -= int64(negative)
	last := rankElided // all that have a place are named in their order
	if count <= maxSaid {
		last = 1
	}
	said := 0
	for rank := range last {
		for i := range fds {
			m := &fds[i]
			if m.fd.N < 0 || m.elided || last > 1 && m.rank != rank || said == maxSaid {
				continue
			}
			n.comma(said)
			n.sayFD(m.kind, m.fd.N)
			n.say(" (")
			n.sayMask(m.events, false)
			n.say(")")
			said++
		}
	}
	n.sayMore(int(count) - said)
	n.saySkipped(negative, count > 0)
}

// saySkipped says how many numbers below 0 stand in an array, with others or
// alone.
func (n *Note) saySkipped(negative int, others bool) {
	switch {
	case negative == 0:
	case others && negative == 1:
		n.say(", 1 negative number skipped")
	case others:
		n.say(", ")
		n.sayInt(int64(negative))
		n.say(" negative numbers skipped")
	case negative == 1:
		n.say("nothing (a negative number is skipped)")
	default:
		n.say("nothing (")
		n.sayInt(int64(negative))
		n.say(" negative numbers are skipped)")
	}
}

// The order in which members are named if there is no place for all.
const (
	rankOdd     = iota // POLLERR, POLLHUP, POLLNVAL, or an event without a name
	rankReady          // with events that it was asked for
	rankClosed         // not open, as far as the log shows
	rankUnasked        // for no event
	rankOther
	rankElided // strace does not print its events
)

func (m *fdMask) rankOf(d *descriptor) int {
	switch {
	case m.elided:
		return rankElided
	case m.revents != nil && oddEvents(m.revents):
		return rankOdd
	case m.revents != nil:
		return rankReady
	case d.closed != 0:
		return rankClosed
	case len(m.events) == 0 || string(m.events) == "0":
		return rankUnasked
	}
	return rankOther
}

// oddEvents reports whether a mask has an event that comes unasked, or one
// without a name.
func oddEvents(mask []byte) bool {
	const named = evIn | evPri | evOut | evNorm | evWnorm | evRdhup | 0x80 | 0x200 | 0x400 | evOnce | evEdge | 1<<28 | 1<<29
	if v, ok := strace.Int(strace.Value(mask)); ok {
		return events(v)&^named != 0
	}
	return bytes.Contains(mask, []byte("0x")) || eventsOf(mask)&(evErr|evHup|evNval) != 0
}

func (n *Note) comma(i int) {
	if i > 0 {
		n.say(", ")
	}
}

func (n *Note) sayMore(more int) {
	if more > 0 {
		n.say(" and ")
		n.sayInt(int64(more))
		n.say(" more")
	}
}

// sayAnswers names the members that are ready, the odd ones first if there is
// no place for all.
func (x *Explainer) sayAnswers(fds []fdMask) {
	n := &x.note
	ready, said := 0, 0
	for i := range fds {
		if fds[i].revents != nil {
			ready++
		}
	}
	for _, odd := range [2]bool{true, false} {
		for i := range fds {
			m := &fds[i]
			if m.revents == nil || said == maxSaid || ready > maxSaid && oddEvents(m.revents) != odd || ready <= maxSaid && odd {
				continue
			}
			n.say(", ")
			n.sayInt(int64(m.fd.N))
			n.say(" ")
			n.sayMask(m.revents, false)
			said++
		}
	}
	n.sayMore(ready - said)
}

// pollPath is the documented path of a file's poll operation.
func pollPath(kind string) string {
	switch kind {
	case "TCP socket":
		return "tcp_poll"
	case "UDP socket":
		return "udp"
	case "unix socket":
		return "unix"
	case "terminal":
		return "pty"
	case "pipe", "timerfd", "signalfd", "inotify", "pidfd":
		return kind
	}
	return ""
}

// isPollPath reports whether a path is that of a file which is polled.
func isPollPath(name string) bool {
	switch name {
	case "tcp_poll", "udp", "unix", "pty", "pipe", "timerfd", "signalfd", "inotify", "pidfd":
		return true
	}
	return false
}

// sayMask writes a mask by its names, whatever way strace printed it.
func (n *Note) sayMask(mask []byte, epoll bool) {
	if len(mask) == 0 {
		n.say("0")
		return
	}
	if mask[0] < '0' || mask[0] > '9' {
		n.sayBytes(mask)
		return
	}
	if _, comment, ok := bytes.Cut(mask, []byte("/* ")); ok {
		n.sayBytes(bytes.TrimSuffix(comment, []byte(" */")))
		return
	}
	v, ok := strace.Int(mask)
	if !ok {
		n.sayBytes(mask)
		return
	}
	if epoll {
		n.say(uapi.EpollEvents.String(uint64(v)))
		return
	}
	n.say(uapi.PollEvents.String(uint64(v)))
}

var setNames = [3]string{"(read)", "(write)", "(except)"}

func (x *Explainer) selects(rec *strace.Record, th *thread) {
	n, c := &x.note, &rec.Call
	main := "select"
	if c.Name == "pselect6" || c.Name == "pselect6_time64" {
		main = "pselect6"
		if mask := arg(c, 5); mask != nil && !strace.Null(mask) && !bytes.Contains(mask, []byte("NULL")) {
			n.branch("masked")
		}
	}
	n.path(main)
	limit, known := selectLimit(c)
	if badTime(arg(c, 4), int64(unit(main))) {
		known = false
	}
	n.sayWait("waits for ", limit, known)
	members := 0
	for set := range setNames {
		before := members
		a := arg(c, 1+set)
		known := strace.FDSet(a, func(fd strace.FD) {
			d := x.state.use(th, fd)
			if rec.Type != strace.Unfinished && d.asked != rec.Line { // once for all sets
				d.asked = rec.Line
				d.file.polled++
			}
			n.fd(fd.N)
			n.path(pollPath(d.file.kind))
			n.ask(d.file.pollKind())
			if members == 0 {
				n.Kind = d.file.kind
			}
			if members < 2*maxSaid {
				n.comma(members)
				n.sayFD(d.file.kind, fd.N)
			}
			members++
		})
		if !known && a != nil && !strace.Null(a) { // -e raw prints its address
			n.comma(members)
			n.say("the set at ")
			n.sayBytes(a)
			members++
		}
		if members > before {
			n.say(" ", setNames[set])
		}
	}
	if members == 0 {
		n.sayNone(limit, known)
	}
	n.sayMore(members - 2*maxSaid)
	if known {
		n.sayLimit(limit)
	}
	_, left := timeLeft(c)
	if !known {
		limit = noLimit
	}
	x.ended(rec, th, limit, left)
	n.limitWays(limit, known)
	n.selectFails(c)
	switch {
	case members == 0:
		n.way("unpolled")
	case limit != 0 && (n.Outcome != Failed || n.wrote()):
		n.branch("registered")
	}
	if n.sayReady(c) {
		n.saySets(c)
	}
	n.sayOutcome(c)
}

func selectLimit(c *strace.Call) (ns int64, known bool) {
	a := arg(c, 4)
	switch {
	case a == nil:
		return 0, false
	case strace.Null(a):
		return -1, true
	}
	d, ok := strace.Timespec(a, unit(c.Name))
	return int64(d), ok
}

// unit is what the second number of a pair counts that names no fields.
func unit(name string) time.Duration {
	if name == "select" || name == "_newselect" {
		return 1000
	}
	return 1
}
