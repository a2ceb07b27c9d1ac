//go:build linux

package explain

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/plain"
)

// Options say which parts of a log to print.
type Options struct {
	Paths   func(name string) *ktrace.Path // the documented path, nil if there is none
	Files   func(name string) *ktrace.Path // that of a file's poll operation; Paths if it is nil
	NoPaths string                         // why no path holds for this log, "" if Paths are right
	PID     int                            // only this thread's lines, 0 for all
	FD      int                            // only calls about this descriptor, -1 for all
	Color   bool
	Flush   bool        // after every line: somebody reads along
	Soon    func() bool // reports whether more of the log, or its end, comes soon; may be nil
	Only    string      // OnlyWarnings, or "" for everything

	EachPath bool // print the trees below each call, not only the first time
	Fold     bool // say of a line that it is as an earlier one, and count such lines in a row
	Width    int  // at which sentences are wrapped, 0 for never
	ASCII    bool // no other characters in our own lines

	Terminal bool // nothing of the log is to reach a terminal that it would act on
	OwnLog   bool // the log is the caller's, and may have lines of ours
}

// OnlyWarnings leaves out everything but the warnings.
const OnlyWarnings = "warnings"

// keep reports whether a filter lets a record through.
func (o *Options) keep(rec *strace.Record, n *Note) bool {
	if o.PID != 0 && rec.PID != o.PID {
		return false
	}
	if o.FD >= 0 {
		if n == nil {
			return false
		}
		for _, fd := range n.FDs {
			if fd == o.FD {
				return true
			}
		}
		return false
	}
	return true
}

// mark starts every line that is not the log's own.
const (
	sign = "#:"
	mark = sign + " "
)

// texter writes the annotated log.
type texter struct {
	w      *bufio.Writer
	o      *Options
	x      *Explainer
	shown  map[string]bool // paths and branches whose trees have been printed
	said   map[string]bool // functions whose sentence has been printed
	key    []byte
	b      []byte
	paths  map[string]*ktrace.Path
	before map[string][]*node // the tree of each path as it was printed last
	atEOL  bool
	fold   fold

	noPaths string // why no path holds, once that has been said
}

// Text copies a log to w with what there is to say below each line. Every line
// of it comes out as it went in.
func Text(w io.Writer, r *strace.Reader, x *Explainer, o Options) error {
	if o.Only == OnlyWarnings {
		return textWarnings(w, r, x, &o)
	}
	t := &texter{w: bufio.NewWriterSize(w, 64<<10), o: &o, x: x, shown: map[string]bool{}, said: map[string]bool{}, paths: map[string]*ktrace.Path{}, before: map[string][]*node{}, atEOL: true}
	if o.Flush {
		r.Live(func() { t.w.Flush() }, func(time.Duration) bool { return o.Soon != nil && !o.Soon() })
	}
	var held *Note // to be completed by the line after, or printed behind its frames
	folded := false
	for first := true; ; first = false {
		rec, err := r.Next()
		if first && err == nil && o.Paths != nil { // else nothing asks for it
			x.machine(rec)
			x.ahead(r.Ahead())
		}
		if held != nil {
			if err == nil && rec.Type == strace.Stack {
				if o.keep(rec, nil) {
					t.raw(rec.Raw)
				}
				continue
			}
			if err == nil {
				x.follow(held, rec)
			}
			if folded {
				t.fold.length(held)
			} else {
				t.note(held)
			}
			held = nil
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.w.Flush()
			return err
		}
		n := x.Explain(rec)
		if !o.keep(rec, n) {
			continue
		}
		folded = n != nil && t.folds(n)
		t.raw(rec.Raw)
		if n == nil {
			continue
		}
		if t.fold.at = rec.Line; folded && !n.follows {
			t.fold.length(n)
			continue
		}
		if !o.Flush || r.More() || o.Soon != nil && o.Soon() {
			held = n
			continue
		}
		if folded {
			t.fold.length(n)
			continue
		}
		t.note(n)
	}
	t.unfold()
	t.finish(x, r)
	return t.w.Flush()
}

// foreign announces a line of the log that looks like one of ours.
const foreign = "the next line is the log's own:"

// raw writes a line of the log, or a piece of one.
func (t *texter) raw(b []byte) {
	if !t.o.OwnLog && t.atEOL && bytes.HasPrefix(b, []byte(sign)) {
		t.line(foreign)
	}
	if t.o.Terminal {
		b = plain.Lines(b)
	}
	t.w.Write(b)
	t.atEOL = b[len(b)-1] == '\n'
}

func (t *texter) finish(x *Explainer, r *strace.Reader) {
	stories, _, lost := x.Finish(r.Dropped())
	if t.o.PID == 0 && t.o.FD < 0 {
		for _, s := range stories {
			t.line("story: ", plain.Text(s))
		}
	}
	t.summary(x.Warnings())
	for _, s := range lost {
		t.line("lost: ", plain.Text(s))
	}
	if s := Unread(r); s != "" && !t.o.OwnLog {
		t.line("unread: ", s)
	}
}

func (t *texter) note(n *Note) {
	if len(n.Summary) > 0 {
		t.b = n.appendPaths(append(t.b[:0], plain.Lines(n.Summary)...))
		t.fold.learn(n)
		t.say(t.b)
	}
	for _, group := range alike(n.Warnings) {
		t.warning(group[0].Code + ": " + together(group) + group[0].andRemedy())
	}
	for _, s := range n.Stories {
		t.line("story: ", plain.Text(s))
	}
	if n.Outcome == Going || n.Runtime {
		return
	}
	if t.o.Paths == nil || len(n.Paths)+len(n.Later) == 0 {
		return
	}
	if t.o.EachPath {
		clear(t.shown)
		clear(t.said)
	}
	if !t.first(n) {
		return
	}
	if why := t.x.noPaths(t.o); why != "" {
		if t.noPaths != why {
			t.noPaths = why
			t.line(why)
		}
		return
	}
	for i, p := range n.Paths {
		if i == 0 || !isPollPath(p) { // that of a file is in the tree of the call
			t.tree(p, n, "")
		}
	}
	for _, p := range n.Later {
		t.tree(p, n, n.When)
	}
}

// first reports whether these paths have not come with these branches before.
func (t *texter) first(n *Note) bool {
	key := t.key[:0]
	for _, p := range n.Paths {
		key = append(append(key, p...), ' ')
	}
	for _, p := range n.Later {
		key = append(append(key, p...), '>')
	}
	t.key = n.appendBranches(append(key, ':'))
	if t.shown[string(t.key)] {
		return false
	}
	t.shown[string(t.key)] = true
	return true
}

func (n *Note) appendBranches(key []byte) []byte {
	for _, b := range n.Branches {
		key = append(append(key, b...), ' ')
	}
	for _, b := range n.Maybe {
		key = append(append(key, b...), '?')
	}
	for _, w := range n.Ways {
		key = append(append(key, w...), '!')
	}
	for _, k := range n.asked {
		key = append(append(key, k...), ',')
	}
	return key
}

// start begins a line of our own.
func (t *texter) start() {
	if !t.atEOL {
		t.w.WriteByte('\n')
		t.atEOL = true
	}
	if t.o.Color {
		t.w.WriteString("\x1b[2m" + mark + "\x1b[0m")
		return
	}
	t.w.WriteString(mark)
}

func (t *texter) line(words ...string) {
	t.b = t.b[:0]
	for _, s := range words {
		t.b = append(t.b, s...)
	}
	t.say(t.b)
}

func (t *texter) warning(s string) {
	s = plain.Text(s)
	if t.o.Color {
		t.line("\x1b[33mwarning:\x1b[0m ", s)
		return
	}
	t.line("warning: ", s)
}

// appendPaths writes " [eventfd_write: slept]".
func (n *Note) appendPaths(b []byte) []byte {
	if len(n.Paths) == 0 {
		return b
	}
	sep := " ["
	for _, p := range n.Paths {
		b = append(append(b, sep...), p...)
		sep = ", "
	}
	sep = ": "
	for _, br := range n.Branches {
		b = append(append(b, sep...), br...)
		sep = ", "
	}
	return append(b, ']')
}

// tree prints a path when it appears for the first time with these branches. A
// path of a later event is introduced by when that is.
func (t *texter) tree(name string, n *Note, when string) {
	t.key = n.appendBranches(append(append(t.key[:0], name+when...), ' '))
	if t.shown[string(t.key)] {
		return
	}
	t.shown[string(t.key)] = true
	p, ok := t.paths[name]
	if !ok {
		p = t.o.Paths(name)
		t.paths[name] = p
	}
	if p == nil {
		return
	}
	files := t.o.Files
	if files == nil {
		files = t.o.Paths
	}
	p = way(p, n, files)
	trees := n.phase(name, grow(p, func(*ktrace.Edge) bool { return true }), when != "")
	if len(trees) == 0 {
		return
	}
	if slices.ContainsFunc(trees, func(r *node) bool { return r.fresh(t.said) }) {
		if when != "" {
			t.line("  later, ", when, ": ", p.Name, " on Linux ", kernelOf(p), ": ", p.Title)
		} else {
			t.line("  ", p.Name, " on Linux ", kernelOf(p), ": ", p.Title)
		}
		for _, r := range trees {
			t.rows(p, 1, r, n, "")
		}
	} else if when != "" {
		return
	} else if n.Outcome == Failed || n.Outcome == Again {
		t.line("  ", name, " as far as ", join(leaves(trees)))
		return
	} else {
		t.differs(name, trees)
	}
	t.before[name] = trees
}

// rows prints the new part of a tree. A run of functions that have been said
// and lead nowhere else stands on one line.
func (t *texter) rows(p *ktrace.Path, depth int, n *node, note *Note, branch string) {
	t.start()
	for range depth {
		t.w.WriteString("  ")
	}
	for t.said[n.name] && len(n.kids) == 1 && n.kids[0].fresh(t.said) && t.said[n.kids[0].name] {
		t.w.WriteString(n.name)
		t.w.WriteString(" > ")
		n = n.kids[0]
	}
	if n.edge != nil && n.edge.Branch != "" && n.edge.Branch != branch {
		branch = n.edge.Branch
		t.row(p, n, condition(note, branch))
	} else {
		t.row(p, n, "")
	}
	t.w.WriteByte('\n')
	t.said[n.name] = true
	for _, k := range n.kids {
		if k.fresh(t.said) {
			t.rows(p, depth+1, k, note, branch)
		}
	}
}

// condition says on what a branch depends that the log does not show.
func condition(n *Note, branch string) string {
	switch {
	case !slices.Contains(n.Maybe, branch):
		return ""
	case branch == "slept":
		return "  (only if it slept)"
	}
	return "  (only if somebody waits)"
}

func (t *texter) row(p *ktrace.Path, n *node, condition string) {
	t.w.WriteString(n.name)
	e := n.edge
	if e != nil && e.Kind == ktrace.Pointer && e.Pointer != "" {
		t.w.WriteString(" (through " + e.Pointer + ")")
	}
	if e != nil && e.File != "" && e.Line > 0 {
		fmt.Fprintf(t.w, "  %s:%d", e.File, e.Line)
	}
	t.w.WriteString(condition)
	if t.said[n.name] {
		return
	}
	text := p.Functions[n.name].Text
	if e != nil && e.Note != "" {
		text = e.Note
	}
	if text != "" {
		t.w.WriteString("  " + text)
	}
}

// differs says in one line how a way through a path differs from the way
// printed last.
func (t *texter) differs(name string, trees []*node) {
	last := t.before[name]
	if last == nil {
		return
	}
	now, then := map[string]bool{}, map[string]bool{}
	var less, more []string
	for _, n := range trees {
		n.names(now)
	}
	for _, n := range last {
		n.names(then)
		less = append(less, n.missing(now)...)
	}
	for _, n := range trees {
		more = append(more, n.missing(then)...)
	}
	if len(less) == 0 && len(more) == 0 {
		return
	}
	t.start()
	t.w.WriteString("  " + name + " as before")
	if len(less) > 0 {
		t.w.WriteString(", without " + join(less))
	}
	if len(more) > 0 {
		t.w.WriteString(", with " + join(more))
	}
	t.w.WriteByte('\n')
}

func join(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + " and more"
	}
	return strings.Join(names, ", ")
}
