//go:build linux

package match

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Chain is an observed chain, compared with a Doc.
type Chain struct {
	IRQSplit
	Steps    []Step // outermost first
	Callback string // the wait-queue entry's function next above the wake, "" if none is on the chain
	// Begin counts the frames of Inner inside the documented part, from the
	// leaf. The frames above them are the kernel's entry.
	Begin int
}

// Findings are the steps that need attention.
func (c *Chain) Findings() []Step {
	var out []Step
	for _, s := range c.Steps {
		if s.Verdict.Finding() {
			out = append(out, s)
		}
	}
	return out
}

// Match holds the chain of ev against d. Leaf names the functions that the
// event fires in ("try_to_wake_up" for a waking): a chain that does not end
// in one of them has lost its inner end.
func (d *Doc) Match(ev *ktrace.Event, leaf ...string) *Chain {
	c := &Chain{IRQSplit: Split(ev.Stack)}
	frames := toLeaf(c.Inner, leaf)
	c.Inner = frames
	c.Callback = Callback(frames)
	if len(frames) == 0 {
		return c
	}
	names := make([][]string, len(frames))
	for i, f := range frames {
		names[i] = d.known(f)
	}
	begin, entered := d.begin(frames, names)
	c.Begin = begin
	switch {
	case begin == 0 && ev.Truncated:
		// The outer end is cut off: judge from the outermost documented frame on.
		c.Begin = outermostKnown(names)
	case begin == 0:
		c.Begin = outermostKnown(names)
		c.Steps = append(c.Steps, d.noRoot(frames, c.Begin))
	}
	if s, ok := d.rootless(frames, names, c.Begin); ok && begin > 0 && !entered && !ev.Truncated && len(c.Outer) == 0 {
		c.Steps = append(c.Steps, s)
	}
	if entered {
		c.Steps = append(c.Steps, d.enter(frames[c.Begin], frames[c.Begin-1], names[c.Begin-1], ev.Source)...)
	}
	c.Steps = append(c.Steps, d.pairs(frames[:c.Begin], names[:c.Begin], ev.Source)...)
	if s, ok := d.leafStep(frames[0], names[0], leaf); !ok {
		c.Steps = append(c.Steps, s)
	} else {
		c.Steps = append(c.Steps, d.fired(names[0], ev.Source)...)
	}
	number(c.Steps)
	Doubted(c.Steps, d.doubt)
	return c
}

// number distinguishes calls that a chain has several times: with an epoll in
// an epoll, ep_poll_callback comes twice.
func number(steps []Step) {
	total, met := map[[2]string]int{}, map[[2]string]int{}
	for _, s := range steps {
		total[[2]string{s.Caller, s.Callee}]++
	}
	for i := range steps {
		s := &steps[i]
		key := [2]string{s.Caller, s.Callee}
		if total[key] < 2 {
			continue
		}
		met[key]++
		if met[key] > 1 {
			s.Nth = met[key]
		}
		s.Evidence += fmt.Sprintf(" (number %d of %d on this chain)", met[key], total[key])
	}
}

// begin finds the outermost documented start on the chain and returns the
// number of frames from the leaf up to it. entered: the start is a system
// call whose own function left no frame below the kernel's entry.
func (d *Doc) begin(frames []ktrace.Frame, names [][]string) (n int, entered bool) {
	for i := len(frames) - 1; i >= 0; i-- {
		if d.isRoot(names[i]) {
			return i + 1, false
		}
	}
	for i := len(frames) - 1; i > 0; i-- {
		if isEntry(frames[i].Name) && !isEntry(frames[i-1].Name) && len(names[i-1]) > 0 {
			for _, r := range d.roots {
				for _, n := range names[i-1] {
					if d.find(r, n) != nil {
						return i, true
					}
				}
			}
		}
	}
	return 0, false
}

// rootless: the chain begins at a root that is itself called by a documented
// function, and that one is not there.
func (d *Doc) rootless(frames []ktrace.Frame, names [][]string, begin int) (Step, bool) {
	// Only of the kernel's entry are all callers known: a path of a function that
	// many call has its own start.
	if begin == 0 || !isEntry(frames[begin-1].Name) || begin < len(frames) && isEntry(frames[begin].Name) {
		return Step{}, false
	}
	for _, n := range names[begin-1] {
		for _, edges := range d.out {
			for _, e := range edges {
				if syms, known := d.symbols(e.Caller); e.Callee == n && known && len(syms) > 0 {
					return Step{Edge: e, Verdict: ktrace.Contradicted, Evidence: fmt.Sprintf("the chain begins at %s, and its caller %s is not there", n, e.Caller)}, true
				}
			}
		}
	}
	return Step{}, false
}

func outermostKnown(names [][]string) int {
	for i := len(names) - 1; i >= 0; i-- {
		if len(names[i]) > 0 {
			return i + 1
		}
	}
	return 0
}

func (d *Doc) noRoot(frames []ktrace.Frame, begin int) Step {
	s := Step{Verdict: ktrace.Contradicted}
	s.Edge.Caller, s.Edge.Callee = "?", frames[max(begin-1, 0)].Name
	if begin < len(frames) {
		s.Edge.Caller = frames[begin].Name
	}
	s.Evidence = fmt.Sprintf("the chain comes to %s from %s, and no documented start (%s) leads there", s.Edge.Callee, s.Edge.Caller, join(d.roots))
	if begin == 0 {
		s.Verdict = ktrace.Undocumented
	}
	return s
}

// enter judges the way from the kernel's entry to the first frame, through a
// system call's function that left no frame itself.
func (d *Doc) enter(entry, f ktrace.Frame, names []string, source string) []Step {
	var best *derivation
	for _, r := range d.roots {
		in := ktrace.Edge{Caller: BaseName(entry.Name), Callee: r, Kind: ktrace.Pointer, Pointer: "sys_call_table[]", Proved: true, Note: "the system call's own function"}
		for _, n := range names {
			w := d.find(r, n)
			if w == nil {
				continue
			}
			c := d.missing([]ktrace.Edge{in}, w.edges[0])
			v := &derivation{edges: append([]ktrace.Edge{in}, w.edges...), causes: append([]cause{c}, w.causes...), bad: w.bad}
			if !c.excused() {
				v.bad++
			}
			if v.better(best) {
				best = v
			}
		}
	}
	return best.steps(f, source)
}

// pairs judges the frames, adjacent frame by adjacent frame, outermost first.
func (d *Doc) pairs(frames []ktrace.Frame, names [][]string, source string) []Step {
	var out []Step
	var without []string
	begun := 0 // where the steps of the walk of the latest queue begin
	for i := len(frames) - 1; i > 0; i-- {
		caller, callee := frames[i], frames[i-1]
		var also []string // that this pair did not take
		if i+1 < len(frames) && isCallback(frames, i) {
			without = NotOnTheWay(caller, Callbacks(frames[:i+1]))
			also, begun = notInStep(caller, out[begun:]), len(out)
		}
		if len(names[i]) == 0 || len(names[i-1]) == 0 {
			out = append(out, undocumented(caller, callee, names[i], names[i-1], source))
			continue
		}
		var best *derivation
		var chosen string
		for _, a := range names[i] {
			for _, b := range names[i-1] {
				w := d.find(a, b, append(slices.Clone(without), also...)...)
				if w == nil && also != nil {
					w = d.find(a, b, without...)
				}
				if w != nil && w.better(best) {
					best, chosen = w, b
				}
			}
		}
		if best == nil {
			out = append(out, d.noWalk(caller, callee, names[i][0], names[i-1][0]))
			continue
		}
		// The name chosen for the callee stays as that of the next caller.
		names[i-1] = []string{chosen}
		out = append(out, best.steps(callee, source)...)
	}
	return out
}

func undocumented(caller, callee ktrace.Frame, a, b []string, source string) Step {
	s := Step{Verdict: ktrace.Undocumented, Symbol: callee.Name}
	s.Edge.Caller, s.Edge.Callee = pick(a, caller), pick(b, callee)
	name := s.Edge.Callee
	if len(b) > 0 {
		name = s.Edge.Caller
	}
	s.Evidence = fmt.Sprintf("%s: %s is in no path that is documented for this call", source, name)
	return s
}

func pick(names []string, f ktrace.Frame) string {
	switch {
	case len(names) > 0:
		return names[0]
	case f.Name == "":
		return "(unknown)"
	}
	return f.Name
}

func (d *Doc) noWalk(caller, callee ktrace.Frame, a, b string) Step {
	s := Step{Verdict: ktrace.Contradicted, Symbol: callee.Name}
	s.Edge.Caller, s.Edge.Callee = a, b
	s.Evidence = fmt.Sprintf("%s was observed directly above %s; documented are its calls of %s", caller.Name, callee.Name, d.callees(a))
	return s
}

// leafDepth is how far from the leaf the function that an event fires in may
// lie.
const leafDepth = 4

// toLeaf drops the frames between the traced function and the event: schedule's
// __schedule is on no path.
func toLeaf(frames []ktrace.Frame, leaf []string) []ktrace.Frame {
	for i := 0; i < min(len(frames), leafDepth); i++ {
		if slices.ContainsFunc(sourceNames(frames[i].Name), func(n string) bool { return slices.Contains(leaf, n) }) {
			return frames[i:]
		}
	}
	return frames
}

// leafStep judges the inner end of a chain.
func (d *Doc) leafStep(f ktrace.Frame, names, leaf []string) (Step, bool) {
	if len(leaf) == 0 || slices.ContainsFunc(sourceNames(f.Name), func(n string) bool { return slices.Contains(leaf, n) }) {
		return Step{}, true
	}
	s := Step{Verdict: ktrace.Contradicted}
	s.Edge.Caller, s.Edge.Callee = pick(names, f), leaf[0]
	s.Evidence = fmt.Sprintf("the event fires in %s, but the chain ends in %s", join(leaf), f.Name)
	return s, false
}

// fired: that the event is there shows that the innermost function reached
// its tracepoint.
func (d *Doc) fired(names []string, source string) []Step {
	_, tracepoint, _ := strings.Cut(source, ":")
	for _, n := range names {
		for _, e := range d.out[n] {
			if e.Kind == ktrace.Tracepoint && e.Callee == "trace_"+tracepoint {
				return []Step{{Edge: e, Verdict: ktrace.Seen, Evidence: source, ShownBy: source}}
			}
		}
	}
	return nil
}

func join(s []string) string {
	switch len(s) {
	case 0:
		return "none"
	case 1:
		return s[0]
	}
	out := s[0]
	for _, x := range s[1 : len(s)-1] {
		out += ", " + x
	}
	return out + " or " + s[len(s)-1]
}

// Callback returns the wait-queue entry's function that did the waking: the
// outermost frame that __wake_up_common calls. For an epoll that is
// ep_poll_callback, the entry on the object's own queue.
func Callback(frames []ktrace.Frame) string {
	for i := len(frames) - 2; i >= 0; i-- {
		if isCallback(frames, i) {
			return documentedName(frames[i])
		}
	}
	return ""
}

// Callbacks returns all of them, outermost first: ep_poll_callback, then
// ep_autoremove_wake_function.
func Callbacks(frames []ktrace.Frame) []string {
	var out []string
	for i := len(frames) - 2; i >= 0; i-- {
		if isCallback(frames, i) {
			out = append(out, documentedName(frames[i]))
		}
	}
	return out
}

// isCallback reports whether a function that walks a wait queue calls the
// frame.
func isCallback(frames []ktrace.Frame, i int) bool {
	return is(catalog.Walks, frames[i+1].Name) && !is(catalog.Walks, frames[i].Name)
}

// NotOnTheWay returns the branches that a callback excludes for the later ones:
// an epoll wakes its waiters and its watchers on two ways, and the wakee at the
// end shows which of them a chain took.
func NotOnTheWay(callback ktrace.Frame, inner []string) []string {
	m := catalog.DefaultModel()
	w := m.Woken(documentedName(callback))
	switch {
	case w == nil || len(inner) == 0:
		return nil
	case w.Watched(m.Woken(inner[0])):
		return w.Inward
	}
	return w.Outward
}

// notInStep are the branches that an epoll's callback does not take after the
// derivation of the queue that it is on: it wakes synchronously if it was called so.
func notInStep(callback ktrace.Frame, derivation []Step) []string {
	w := catalog.DefaultModel().Woken(documentedName(callback))
	if w == nil {
		return nil
	}
	branches := w.InStep
	for _, s := range derivation {
		switch {
		case !is(catalog.Wakes, s.Callee):
		case !shown(s.Verdict):
			return nil
		case is(catalog.InStep, s.Callee):
			branches = w.Apart
		}
	}
	return branches
}

// documentedName is the function of a callback's frame: one that ends in a tail
// call is not directly above the walk of the queue, and its target is.
func documentedName(f ktrace.Frame) string {
	n := BaseName(f.Name)
	if callback, ok := catalog.DefaultModel().Of(catalog.End, n); ok {
		return callback
	}
	return n
}
