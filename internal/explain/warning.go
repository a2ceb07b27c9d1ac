//go:build linux

package explain

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// Warning is a known mistake that the log shows in full.
type Warning struct {
	Code   string
	FD     int   // -1 if it is about none
	Epoll  int   // -1 if it is about none
	Lines  []int // the first that show it, and the last
	Count  int   // how often it is there so far, 0 if that says nothing
	Text   string
	Remedy string

	words func(*Warning) string // builds Text once more when the count went on
	rows  int                   // that Count is of, for what is counted in rows
	first int64                 // time of the first, -1 if the log has none
	last  int64
}

// keptLines bounds the lines that are kept as evidence: the first ones and the
// last.
const keptLines = 4

// maxWarnings bounds the warnings of one log.
const maxWarnings = 1000

// codes are the mistakes that are known, the most serious first, and what
// helps.
var codes = []struct{ code, remedy string }{
	{"fd-above-setsize", "FD_SET with a number from FD_SETSIZE (1024) writes outside of an fd_set; use poll or epoll"},
	{"kernel-bug", "update to 6.14.9, 6.15 or later"},
	{"lost-edge", "read or write until EAGAIN; re-arm EPOLLONESHOT with EPOLL_CTL_MOD; keep EPOLLOUT until it came"},
	{"accept-emfile", "raise RLIMIT_NOFILE; take the listener out for a while; or keep a spare descriptor to close, accept and close"},
	{"spin-hangup", "HUP is reported whatever was asked: close the descriptor, or EPOLL_CTL_DEL it; events=0 does not help, and EPOLLET only hides it"},
	{"spin-error", "take the error (SO_ERROR, or a read) and close the descriptor; ERR is reported whatever was asked"},
	{"spin-eof", "a read of 0 is the end of the file: close the descriptor, or take it out of the set"},
	{"spin-unread", "read until EAGAIN or 0, or take the descriptor out of the set"},
	{"spin-output", "ask for POLLOUT only while there is something to write"},
	{"ghost-registration", "EPOLL_CTL_DEL before close; now only the other descriptor of the file, or the close of the epoll, ends it"},
	{"eagain-spin", "wait for readiness with poll or epoll before the next attempt"},
	{"spin-zero-timeout", "give the wait a time-out, or -1, instead of looking again and again"},
	{"nval", "the number is not open: take it out of the array, or make it negative"},
	{"closed-by-other", "EPOLL_CTL_DEL before close, and close a number once, by the one that owns it"},
	{"timer-in-past", "set the timer from the clock that it counts (clock_gettime), or without TFD_TIMER_ABSTIME"},
	{"self-wake", "write the eventfd only from another thread; what this thread has to do itself needs no wake"},
	{"thundering-herd", "EPOLLEXCLUSIVE, or a listener for each task with SO_REUSEPORT"},
	{"registration-left", "EPOLL_CTL_DEL before close"},
	{"never-read", "read the counter, or do not write it"},
	{"wrong-unit", "poll and epoll_wait take milliseconds, select microseconds in tv_usec below 1000000, ppoll, pselect6 and epoll_pwait2 nanoseconds in tv_nsec below 1000000000"},
	{"duplicate-member", "name each descriptor once, with all of its events"},
	{"modify-unchanged", "keep what was set last, and call EPOLL_CTL_MOD only to change it"},
	{"refused-file", "such a file is always ready: read it or write it without waiting"},
	{"waits-for", ""},
}

// Codes returns the codes of all warnings, the most serious first.
func Codes() []string {
	all := make([]string, len(codes))
	for i, c := range codes {
		all[i] = c.code
	}
	return all
}

func rank(code string) int {
	for i, c := range codes {
		if c.code == code {
			return i
		}
	}
	return len(codes)
}

// cause is what a warning is raised for once.
type cause struct {
	code  string
	about any // the file, the table or the thread
	n     int64
}

// raised are the warnings of a log.
type raised struct {
	all   []*Warning
	known map[cause]*Warning
	left  []leftReg
}

// raise adds a warning to the note, or counts on what was raised before. It
// returns the warning, nil if there are too many.
func (x *Explainer) raise(c cause, rec *strace.Record, fd, epoll int, words func(*Warning) string) *Warning {
	r := &x.raised
	if w := r.known[c]; w != nil {
		w.see(x, rec)
		return w
	}
	if len(r.all) >= maxWarnings {
		return nil
	}
	if r.known == nil {
		r.known = map[cause]*Warning{}
	}
	w := &Warning{Code: c.code, FD: fd, Epoll: epoll, words: words, first: -1, last: -1}
	if i := rank(c.code); i < len(codes) {
		w.Remedy = codes[i].remedy
	}
	w.see(x, rec)
	r.known[c] = w
	r.all = append(r.all, w)
	x.note.Warnings = append(x.note.Warnings, w)
	w.Text = words(w)
	return w
}

// see counts a line that shows it.
func (w *Warning) see(x *Explainer, rec *strace.Record) {
	w.Count++
	w.line(rec.Line)
	if t, ok := x.stamp(rec); ok {
		if w.first < 0 {
			w.first = t
		}
		w.last = max(w.last, t)
	}
}

// counted counts on a warning that was raised before, and reports whether one was.
func (x *Explainer) counted(c cause, rec *strace.Record) bool {
	w := x.raised.known[c]
	if w != nil {
		w.see(x, rec)
	}
	return w != nil
}

// countedRow is counted for what takes runs lines in a row: of a row that began
// after the warning was raised all lines count, once it is long enough.
func (x *Explainer) countedRow(c cause, rec *strace.Record, row *evidence, runs int) bool {
	w := x.raised.known[c]
	if w != nil && row.count >= runs {
		if row.count == runs {
			w.Count += runs - 1
			w.rows++
		}
		w.see(x, rec)
	}
	return w != nil
}

// evidence sets what showed it before it was raised.
func (w *Warning) evidence(e *evidence) {
	if w == nil {
		return
	}
	last := w.Lines[len(w.Lines)-1]
	w.Lines, w.Count, w.first, w.rows = slices.Clone(e.lines), e.count, e.first, 1
	w.last = max(w.last, e.last)
	w.line(last)
	w.Text = w.words(w)
}

func (w *Warning) line(line int) { w.Lines = keep(w.Lines, line) }

// keep adds a line to those that are kept: the last one takes the place of the
// last before.
func keep(lines []int, line int) []int {
	switch n := len(lines); {
	case n > 0 && lines[n-1] >= line:
		return lines
	case n < keptLines:
		return append(lines, line)
	}
	lines[len(lines)-1] = line
	return lines
}

// evidence is what a pattern has shown so far.
type evidence struct {
	count       int
	lines       []int
	first, last int64 // times, -1 if there are none
}

func (e *evidence) reset() { *e = evidence{lines: e.lines[:0], first: -1, last: -1} }

func (e *evidence) see(x *Explainer, rec *strace.Record) {
	e.count++
	e.lines = keep(e.lines, rec.Line)
	if t, ok := x.stamp(rec); ok {
		if e.count == 1 {
			e.first = t
		}
		e.last = t
	} else if e.count == 1 {
		e.first, e.last = -1, -1
	}
}

// stamp is the time of a line, if the log has one finer than seconds.
func (x *Explainer) stamp(rec *strace.Record) (ns int64, ok bool) {
	return x.clock.now, rec.Clock != strace.NoClock && x.clock.tick < 1e9
}

// inARow says how often it was there without a break, and how fast that went.
func (w *Warning) inARow(unit string) string {
	if w.rows <= 1 {
		return fmt.Sprintf("%d %s in a row%s", w.Count, unit, w.rate())
	}
	s := fmt.Sprintf("%d %s in %d rows", w.Count, unit, w.rows)
	if d := w.last - w.first; w.first >= 0 && d > 0 {
		s += " within " + string(appendTime(nil, d))
	}
	return s
}

// inBetween names the time between two lines of a row.
func (w *Warning) inBetween() string {
	if w.rows <= 1 {
		return "in between"
	}
	return "within a row"
}

func (w *Warning) noSleep() string { return "the log shows no sleep " + w.inBetween() }

// rate says how fast it went, if the log has times finer than a second.
func (w *Warning) rate() string {
	d := w.last - w.first
	if w.first < 0 || w.Count < 2 || d <= 0 {
		return ""
	}
	b := append([]byte(" in "), appendTime(nil, d)...)
	per := int64(w.Count-1) * 1e9 / d
	if per > 0 {
		b = append(b, " ("...)
		b = strconv.AppendInt(b, per, 10)
		b = append(b, " a second under strace)"...)
	}
	return string(b)
}

// Warnings returns all warnings so far with their counts, the most serious
// first.
func (x *Explainer) Warnings() []*Warning {
	all := slices.Clone(x.raised.all)
	for _, w := range all {
		w.Text = w.words(w)
	}
	slices.SortStableFunc(all, func(a, b *Warning) int {
		return cmp.Or(cmp.Compare(rank(a.Code), rank(b.Code)), cmp.Compare(b.Count, a.Count))
	})
	return all
}

// String is a warning in one line.
func (w *Warning) String() string {
	return w.Code + ": " + w.Text + w.andRemedy()
}

// andRemedy is the remedy that follows a text, "" without one.
func (w *Warning) andRemedy() string {
	if w.Remedy == "" {
		return ""
	}
	return "; " + w.Remedy
}

// where names the lines of a warning: "lines 3, 5, 7 to 30".
func (w *Warning) where() string {
	var b bytes.Buffer
	b.WriteString("line ")
	if len(w.Lines) > 1 {
		b.Reset()
		b.WriteString("lines ")
	}
	for i, l := range w.Lines {
		switch {
		case i == 0:
		case i == len(w.Lines)-1 && w.Count > len(w.Lines):
			b.WriteString(" … ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(l))
	}
	return b.String()
}

// appendJSON writes a warning as an object.
func (w *Warning) appendJSON(b []byte) []byte {
	number := func(name string, v int) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendInt(b, int64(v), 10)
	}
	b = append(b, `{"code":`...)
	b = AppendString(b, []byte(w.Code))
	if w.FD >= 0 {
		number("fd", w.FD)
	}
	if w.Epoll >= 0 {
		number("epoll", w.Epoll)
	}
	b = append(b, `,"lines":[`...)
	for i, l := range w.Lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(l), 10)
	}
	b = append(b, ']')
	if w.Count > 0 {
		number("count", w.Count)
	}
	b = append(b, `,"text":`...)
	b = AppendString(b, []byte(w.Text))
	b = append(b, `,"remedy":`...)
	b = AppendString(b, []byte(w.Remedy))
	return append(b, '}')
}

// appendWarnings writes the member "warnings" of an object.
func appendWarnings(b []byte, all []*Warning) []byte {
	if len(all) == 0 {
		return b
	}
	b = append(b, `,"warnings":[`...)
	for i, w := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = w.appendJSON(b)
	}
	return append(b, ']')
}
