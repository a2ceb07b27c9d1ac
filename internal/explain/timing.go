//go:build linux

package explain

import (
	"math"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// span is the length of a call as far as a log proves it, in nanoseconds: it is
// not shorter than least and not longer than most. most is -1 without a bound.
type span struct{ least, most int64 }

var anySpan = span{0, -1}

// exact reports whether both bounds are as good as one figure.
func (s span) exact() bool {
	return s.most >= 0 && s.most-s.least <= max(2000, s.most/100)
}

// clock is the time of a log, made continuous: days are added to the time of
// day, and what -r prints is added up.
type clock struct {
	kind strace.Clock
	now  int64 // of the last line that has one
	last int64 // as printed, to see midnight
	tick int64
	errs int64 // by how much the sum of -r may lag, nanoseconds
}

// read takes the time of a line and reports whether it has one.
func (c *clock) read(rec *strace.Record) bool {
	if rec.Clock == strace.NoClock {
		return false
	}
	if rec.Clock != c.kind {
		*c = clock{kind: rec.Clock, last: rec.Time}
	}
	c.tick = rec.Tick
	switch rec.Clock {
	case strace.Relative:
		c.now += rec.Time
		c.errs += rec.Tick
	case strace.Wall:
		step := rec.Time - c.last
		if step < -day/2 {
			step += day
		}
		c.now += step
		c.last = rec.Time
	default:
		c.now, c.last = rec.Time, rec.Time
	}
	return true
}

const day = 24 * 3600 * 1_000_000_000

// moment is a time of a clock.
type moment struct {
	line      int
	now, errs int64
	kind      strace.Clock
}

func (c *clock) moment(line int) moment { return moment{line, c.now, c.errs, c.kind} }

// since is the time between a moment and now, as far as the digits show it.
// The time that is printed is cut and not rounded.
func (c *clock) since(m moment) (span, bool) {
	d := c.now - m.now
	if m.line == 0 || m.kind != c.kind || d < 0 {
		return anySpan, false
	}
	if c.kind == strace.Relative {
		return span{d, d + max(c.errs-m.errs-c.tick, 0)}, true
	}
	if c.tick < 1e6 {
		return span{d, d}, true
	}
	return span{max(d-c.tick, 0), d + c.tick}, true
}

// times takes the time of a record, and that of a first half for its second.
func (x *Explainer) times(rec *strace.Record) {
	timed := x.clock.read(rec)
	if rec.Type == strace.Unfinished && timed {
		x.halves = true
		x.state.thread(rec.PID).half = x.clock.moment(rec.Line)
	}
}

// took is how long the call of a record took: as -T says, or by the times of
// its two halves.
func (x *Explainer) took(rec *strace.Record, th *thread) span {
	c := &rec.Call
	switch {
	case c.Duration >= 0:
		return span{c.Duration, c.Duration}
	case rec.Clock == strace.NoClock || rec.Type == strace.Unfinished || c.First == 0 || th.half.line != c.First:
		return anySpan
	}
	s, _ := x.clock.since(th.half)
	return s
}

// follow bounds the length of the call of the note before by the time of the
// line after it: strace prints a whole call when it has returned. In a log that
// was merged from the files of -ff that holds for the lines of a thread alone.
func (x *Explainer) follow(n *Note, next *strace.Record) {
	if !n.follows {
		return
	}
	n.follows = false
	if !next.Part && next.Clock == x.clock.kind && (next.PID == n.began.pid || x.halves) {
		after := x.clock
		after.read(next)
		if s, ok := after.since(n.began.moment); ok {
			n.span.most = s.most
		}
	}
	n.sayLength()
}

// start is when a call began, and in which thread.
type begin struct {
	moment
	pid int
}

// noLimit is a time-out that the log does not show.
const noLimit = math.MinInt64

// slack is by how much a time-out that is up may be missed: older kernels
// count in jiffies.
func slack(limit int64) int64 { return 12_000_000 + limit/100 }

// The longest that a call without a sleep is believed to take before a word is
// said: a thread may be kept from running for long.
const muchTooLong = 200_000_000

// sayLength says how long a call took, and if that cannot be with its time-out.
func (n *Note) sayLength() {
	s := n.span
	const wrong = "this cannot be the time-out that the kernel was given"
	switch {
	case n.zero && n.limit < 0 && n.limit != noLimit:
		n.say("; returns 0, which a call without a time-out never does: ", wrong)
	case n.Outcome == TimedOut && s.most >= 0 && s.most < n.limit-slack(n.limit):
		n.say(", after ")
		n.saySpan(s)
		n.say(": ", wrong)
	case n.Outcome == TimedOut && s.least > n.limit+n.limit/2+slack(n.limit):
		n.say(", and takes ")
		n.saySpan(s)
	case n.Outcome == AtOnce && n.limit == 0 && s.least >= muchTooLong:
		n.say(" by its time-out of 0, and yet takes ")
		n.saySpan(s)
		n.say(": ", wrong, ", or the thread was kept from running")
	case (n.Outcome == Unknown || n.Outcome == Signalled || n.Outcome == Slept) && s.most >= 0:
		n.bare = len(n.Summary)
		n.say("; takes ")
		n.saySpan(s)
	}
}

// saySpan writes a length by its bounds.
func (n *Note) saySpan(s span) {
	switch {
	case s.exact():
		n.sayTime(s.most)
	case s.most < 0:
		n.say("at least ")
		n.sayTime(s.least)
	case s.least > 0:
		n.sayTime(s.least)
		n.say(" to ")
		n.sayTime(s.most)
	case n.coarse:
		n.say("less than ")
		n.sayTime(s.most)
	default:
		n.say("at most ")
		n.sayTime(s.most)
	}
}
