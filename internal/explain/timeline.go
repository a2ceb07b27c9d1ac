//go:build linux

package explain

import (
	"fmt"
	"io"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// maxCalls bounds a picture. A log may be longer than what can be looked at.
const maxCalls = 100_000

// Timeline reads a whole log into a picture: its threads, the calls that
// concern us, and their documented paths. A log has no wakes, so neither does
// the picture.
func Timeline(r *strace.Reader, x *Explainer, o Options, title, kernel string) (*render.Timeline, error) {
	b := &builder{o: &o, x: x, t: &render.Timeline{Title: title, Kernel: kernel, Origin: "strace log", Clock: lineNumbers}, threads: map[int]bool{}, open: map[int]render.Call{}, paths: map[string]int{}}
	for first := true; ; first = false {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if first {
			x.ahead(r.Ahead())
		}
		if rec.Part {
			continue
		}
		b.clock(rec)
		n := x.Explain(rec)
		if o.keep(rec, n) {
			b.record(rec, n)
		}
	}
	b.finish()
	if why := x.noPaths(&o); why != "" {
		b.t.Notes = append(b.t.Notes, render.Note{Kind: "note", Text: why, Call: -1})
	}
	_, warnings, lost := x.Finish(r.Dropped())
	for _, w := range warnings {
		b.t.Notes = append(b.t.Notes, render.Note{Kind: "warning", Text: w.String(), Call: -1, Line: w.Lines[len(w.Lines)-1]})
	}
	for _, s := range lost {
		b.t.Notes = append(b.t.Notes, render.Note{Kind: "lost", Text: s, Call: -1})
	}
	return b.t, nil
}

// builder makes the picture.
type builder struct {
	o       *Options
	x       *Explainer
	t       *render.Timeline
	threads map[int]bool
	open    map[int]render.Call // first halves, by thread
	paths   map[string]int
	now     int64
	wall    int64 // the time of day before, to see midnight
	days    int64
	left    int // calls that have no place
}

// lineNumbers is the clock of a picture of a log without times.
const lineNumbers = "line numbers"

// clock sets the time of a record. Without times the line is the time, a
// microsecond each.
func (b *builder) clock(rec *strace.Record) {
	switch rec.Clock {
	case strace.Epoch:
		b.now, b.t.Clock = rec.Time, "the log's, since 1970"
	case strace.Wall:
		if rec.Time < b.wall-day/2 {
			b.days++
		}
		b.wall = rec.Time
		b.now, b.t.Clock = rec.Time+b.days*day, "the log's, by the day"
	case strace.Relative:
		b.now, b.t.Clock = b.now+rec.Delta, "the log's, from line to line"
	default:
		if b.t.Clock == lineNumbers {
			b.now = int64(rec.Line) * 1000
		}
	}
}

func (b *builder) record(rec *strace.Record, n *Note) {
	if n == nil || len(n.Paths) == 0 {
		return
	}
	switch rec.Type {
	case strace.Unfinished:
		if len(b.open) < maxThreads {
			b.open[rec.PID] = b.call(rec, n)
		}
		return
	case strace.CallLine, strace.Resumed:
	default:
		return
	}
	c := b.call(rec, n)
	c.Path = b.path(n)
	if n.span.exact() || n.Outcome == TimedOut && b.t.Clock != lineNumbers {
		b.x.Lengths++
	}
	if first, ok := b.open[rec.PID]; ok && rec.Type == strace.Resumed {
		c.Start = first.Start
		delete(b.open, rec.PID)
	}
	switch {
	case rec.Type == strace.Resumed:
		c.End = max(b.now, c.Start)
		c.Text = whole(rec)
	case rec.Call.Duration > 0:
		c.End = c.Start + rec.Call.Duration
	case n.Outcome == TimedOut && b.t.Clock != lineNumbers:
		c.End = c.Start + n.limit // it took that at least
	case b.t.Clock == lineNumbers:
		c.End = c.Start + 800
	}
	b.add(c, n)
}

func (b *builder) add(c render.Call, n *Note) {
	if len(b.t.Calls) >= maxCalls {
		b.left++
		return
	}
	at := len(b.t.Calls)
	b.t.Calls = append(b.t.Calls, c)
	if n != nil {
		for _, w := range n.Warnings {
			b.t.Notes = append(b.t.Notes, render.Note{Kind: "warning", Text: w.String(), Call: at, Line: c.Line})
		}
	}
}

func (b *builder) call(rec *strace.Record, n *Note) render.Call {
	if !b.threads[rec.PID] && len(b.threads) < maxThreads {
		b.threads[rec.PID] = true
		b.t.Threads = append(b.t.Threads, render.Thread{TID: rec.PID, Comm: string(rec.Comm)})
	}
	c := render.Call{TID: rec.PID, Start: b.now, End: b.now, Name: rec.Call.Name, FD: -1, Outcome: n.Outcome.String(), Summary: string(n.Summary), Path: -1,
		Line: rec.Line, Runtime: n.Runtime}
	c.Text = whole(rec)
	if len(n.FDs) > 0 {
		c.FD = n.FDs[0]
		if n.Kind != "" {
			c.Object = fmt.Sprintf("%s %d", n.Kind, c.FD)
		}
	}
	return c
}

// maxText bounds what is kept of a call's line.
const maxText = 400

// whole is a call's text in one piece, as strace would have printed it.
func whole(rec *strace.Record) string {
	c := &rec.Call
	var s strings.Builder
	s.WriteString(c.Name + "(")
	for i, a := range c.Args {
		if i > 0 {
			s.WriteString(", ")
		}
		if s.Len() > maxText {
			s.WriteString("...")
			break
		}
		s.Write(a[:min(len(a), maxText)])
	}
	switch {
	case rec.Type == strace.Unfinished:
		return s.String() + " <unfinished ...>"
	case c.NoValue:
		s.WriteString(") = ?")
	default:
		s.WriteString(") = " + string(c.Result))
	}
	if c.Errno != "" {
		s.WriteString(" " + c.Errno)
	} else if c.Note != nil {
		s.WriteString(" (" + string(c.Note[:min(len(c.Note), maxText)]) + ")")
	}
	return s.String()
}

// path returns the index of the way that the call took through its path.
func (b *builder) path(n *Note) int {
	if b.o.Paths == nil || b.x.noPaths(b.o) != "" {
		return -1
	}
	key := strings.Join(append(append([]string{n.Paths[0]}, n.Branches...), n.Maybe...), " ") + " " + strings.Join(n.Ways, " ") + "," + strings.Join(n.asked, ",")
	if i, ok := b.paths[key]; ok {
		return i
	}
	p := b.o.Paths(n.Paths[0])
	if p == nil {
		b.paths[key] = -1
		return -1
	}
	i := len(b.t.Paths)
	b.t.Paths = append(b.t.Paths, render.Path{Path: *way(p, n, b.o.Paths), Branch: strings.Join(n.Branches, ", ")})
	b.paths[key] = i
	return i
}

// finish adds what has not returned.
func (b *builder) finish() {
	for _, th := range b.t.Threads {
		if c, ok := b.open[th.TID]; ok {
			c.Open, c.End = true, max(b.now, c.Start)
			b.add(c, nil)
		}
	}
	if b.left > 0 {
		b.t.Notes = append(b.t.Notes, render.Note{Kind: "note", Text: fmt.Sprintf("the first %d calls are here, %d later ones are not", maxCalls, b.left), Call: -1})
	}
}
