//go:build linux

package explain

import (
	"bytes"
	"fmt"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// past is a row of absolute timers that had passed when they were set.
type past struct {
	evidence
	moved   int   // reads of the timer at the last of them
	at      int64 // what it was set to last, absolute; 0 for none
	set     int   // the line of that
	reached int64 // the latest absolute time for which it was seen to expire
	line    int   // of the read that showed it
}

// expired is a read of a timerfd that had expired: what it was set to before
// the read began is past.
func (p *past) expired(rec *strace.Record) {
	began := rec.Line
	if rec.Call.First > 0 {
		began = rec.Call.First
	}
	if p.at > p.reached && began > p.set {
		p.reached, p.line = p.at, rec.Line
	}
}

// pastRuns is how many in a row make a habit.
const pastRuns = 3

// clockShown keeps what a clock is, as the log shows it.
func (x *Explainer) clockShown(c *strace.Call) {
	if c.Errno != "" || !c.HasValue || c.Value != 0 {
		return
	}
	v, ok := strace.Timespec(arg(c, 1), 1)
	if !ok {
		return
	}
	d := &x.diagnosis
	if d.clocks == nil {
		d.clocks = map[string]int64{}
	}
	name := clockName(arg(c, 0))
	if _, known := d.clocks[name]; known || len(d.clocks) < 16 {
		d.clocks[name] = int64(v)
	}
}

// clockName is the clock behind the names of its variants.
func clockName(a []byte) string {
	for _, suffix := range []string{"_COARSE", "_ALARM", "_RAW"} {
		a = bytes.TrimSuffix(a, []byte(suffix))
	}
	switch string(a) {
	case "0":
		return "CLOCK_REALTIME"
	case "1":
		return "CLOCK_MONOTONIC"
	case "7":
		return "CLOCK_BOOTTIME"
	}
	return string(a)
}

// passed reports whether a time on the clock of a timer had passed, by the
// clocks that the log shows, and which clock says so.
func (x *Explainer) passed(clock string, at int64) (by string, now int64) {
	shown := x.diagnosis.clocks
	try := []string{clock}
	switch clock {
	case "CLOCK_BOOTTIME":
		try = append(try, "CLOCK_MONOTONIC") // which is never ahead of it
	case "":
		try = []string{"CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_REALTIME"}
	}
	for _, name := range try {
		v, ok := shown[name]
		if !ok {
			continue
		}
		if at >= v {
			if clock == "" {
				return "", 0
			}
			continue
		}
		if by == "" {
			by, now = name, v
		}
	}
	return by, now
}

// timerSet takes a timerfd_settime into account.
func (x *Explainer) timerSet(rec *strace.Record, th *thread) {
	c := &rec.Call
	fd, f := x.fileOf(c, th, 0)
	if f == nil || c.Errno != "" {
		return
	}
	if f.kind == "" {
		f.kind = "timerfd"
	}
	p := &f.traits.past
	at, ok := valueOf(arg(c, 2))
	p.at = 0
	if !ok || !strace.Has(arg(c, 1), "TFD_TIMER_ABSTIME", 1) {
		p.reset()
		return
	}
	p.at, p.set = at, rec.Line
	clock := clockName([]byte(f.traits.clock))
	by, now := x.passed(clock, at)
	if by == "" && clock == "CLOCK_REALTIME" && x.clock.kind == strace.Epoch && c.First == 0 && at < x.clock.now {
		by, now = clock, x.clock.now // strace prints that clock
	}
	if by == "" && at <= p.reached && clock != "CLOCK_REALTIME" {
		by = "it"
	}
	if by == "" || at <= 1 { // one nanosecond is how to say at once
		if len(x.diagnosis.clocks) > 0 {
			p.reset()
		}
		return
	}
	if p.count > 0 && clock == "" && p.moved == f.traits.moved {
		return // nothing shows that it expired
	}
	p.moved = f.traits.moved + 1 // this call counts as one
	p.see(x, rec)
	if p.count < pastRuns {
		return
	}
	about := cause{code: "timer-in-past", about: f}
	if x.countedRow(about, rec, &p.evidence, pastRuns) {
		return
	}
	value, shown := string(appendTime(nil, at)), fmt.Sprintf("%s is at %s", by, appendTime(nil, now))
	if by == "it" {
		shown = fmt.Sprintf("it had expired for %s by line %d", appendTime(nil, p.reached), p.line)
	}
	w := x.raise(about, rec, fd, -1, func(w *Warning) string {
		return fmt.Sprintf("timerfd %d is set with TFD_TIMER_ABSTIME to %s, and %s: it expires at once, %s", fd, value, shown, w.inARow("times"))
	})
	w.evidence(&p.evidence)
}

// valueOf is it_value of a struct itimerspec; none if it disarms.
func valueOf(a []byte) (ns int64, ok bool) {
	_, v, found := bytes.Cut(a, []byte("it_value="))
	if !found {
		in := bytes.TrimSuffix(bytes.TrimPrefix(a, []byte("{")), []byte("}"))
		_, v, found = bytes.Cut(in, []byte("}, "))
		if !found {
			return 0, false
		}
	}
	if i := bytes.IndexByte(v, '}'); i >= 0 {
		v = v[:i+1]
	}
	d, ok := strace.Timespec(v, 1)
	return int64(d), ok && d > 0
}
