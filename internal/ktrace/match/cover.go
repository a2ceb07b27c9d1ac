//go:build linux

package match

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
)

// Group is some documented paths and the chains that may have taken them. A
// branch of a write that slept is not shown by a chain of ppoll.
type Group struct {
	Paths   []*ktrace.Path
	Doc     *Doc // of the same paths
	Chains  []*Chain
	Entries *Entries // the function tracer's entries of the same calls, nil if it was not used
	Without []string // branches that cannot have been taken
}

// Sources are the observers of a run other than the function tracer.
type Sources struct {
	Points map[string]string // functions in which one of them has its events, and its name
	Unseen string            // why nothing lies below other functions
	Lost   uint64            // records of theirs that were lost
	Missed uint64            // records of the function tracer that were lost

	Partial string // why the function tracer saw but a part of the calls, "" if it saw all
}

// Cover gives every documented edge of the groups a verdict: the evidence of
// the sources, and why they cannot show the rest. Findings that belong to no
// documented edge come last.
func Cover(groups []Group, src *Sources) []Step {
	pointed := map[[2]string]bool{}
	for i := range groups {
		_, order := best(groups[i].chains())
		for _, s := range order {
			if s.Kind == ktrace.Pointer && shown(s.Verdict) {
				pointed[[2]string{s.Caller, s.Pointer}] = true
			}
		}
	}
	var out []Step
	index := map[call]int{}
	for i := range groups {
		for _, s := range groups[i].cover(src, pointed) {
			key := callOf(s)
			at, ok := index[key]
			if !ok {
				index[key] = len(out)
				out = append(out, s)
				continue
			}
			out[at] = out[at].or(s)
		}
	}
	return out
}

// call is a documented call, or the nth such call of a chain.
type call struct {
	caller, callee string
	nth            int
}

func callOf(s Step) call { return call{s.Caller, s.Callee, s.Nth} }

func callTo(e ktrace.Edge, nth int) call { return call{e.Caller, e.Callee, nth} }

// or joins the verdicts of two groups on an edge.
func (s Step) or(t Step) Step {
	if t.weight() > s.weight() {
		s, t = t, s
	}
	s.expected = s.expected || t.expected
	s.source = cmp.Or(s.source, t.source)
	s.byChain = cmp.Or(s.byChain, t.byChain)
	s.byTracer = cmp.Or(s.byTracer, t.byTracer)
	s.witnessed, s.symbols, s.elsewhere = s.witnessed || t.witnessed, s.symbols || t.symbols, s.elsewhere || t.elsewhere
	return s
}

// weight orders the verdicts on an edge: a finding, a seen edge, an expected
// and missing one, and then the rest.
func (s *Step) weight() int {
	w := rank(s.Verdict)
	if !shown(s.Verdict) && !s.Verdict.Finding() {
		w -= 100
		if s.expected && s.source != "" {
			w += 50
		}
	}
	return w
}

// shown are the verdicts that say that an edge was taken.
func shown(v ktrace.Verdict) bool {
	return v == ktrace.Seen || v == ktrace.Renamed || v == ktrace.TailCall || v == ktrace.Inlined
}

func (g *Group) chains() []*Chain {
	if g.Entries == nil {
		return g.Chains
	}
	return append(slices.Clone(g.Chains), g.Entries.Chain)
}

// covering is the work on one group.
type covering struct {
	*Group
	src     *Sources
	edges   []ktrace.Edge
	pointed map[[2]string]bool
	seen    map[call]Step
	chains  map[call]Step     // without the function tracer
	tracer  map[call]Step     // by it alone
	taken   map[string]bool   // branches
	ran     map[string]bool   // functions that are known to have run
	entered map[string]bool   // functions that the tracer saw entered from where it is documented
	reach   map[string]string // functions from which an expected way leads to a source's event
	could   map[string]bool   // and those from which any way does
}

func (g *Group) cover(src *Sources, pointed map[[2]string]bool) []Step {
	c := &covering{Group: g, src: src, pointed: pointed, taken: map[string]bool{}, ran: map[string]bool{}, entered: map[string]bool{}, tracer: map[call]Step{}}
	var order []Step
	c.seen, order = best(g.chains())
	c.chains, _ = best(g.Chains)
	if g.Entries != nil {
		c.tracer, _ = best([]*Chain{g.Entries.Chain})
		for n := range g.Entries.Count {
			c.ran[n] = true
		}
		for _, s := range c.tracer {
			if s.Verdict == ktrace.Seen || s.Verdict == ktrace.Renamed {
				c.entered[s.Callee] = true
			}
		}
	}
	c.refute()
	for _, s := range order {
		if s = c.seen[callOf(s)]; shown(s.Verdict) {
			c.ran[s.Caller], c.ran[s.Callee] = true, true
			if s.Branch != "" {
				c.taken[s.Branch] = true
			}
		}
	}
	done := map[call]bool{}
	for _, p := range g.Paths {
		for _, e := range p.Edges {
			if key := callTo(e, 0); !done[key] {
				done[key] = true
				c.edges = append(c.edges, e)
			}
		}
	}
	c.spread()
	var out []Step
	for _, e := range c.edges {
		out = append(out, c.judge(e))
		for n := 2; ; n++ {
			s, ok := c.seen[callTo(e, n)]
			if !ok {
				break
			}
			s.expected, s.source = true, "chain"
			out, done[callOf(s)] = append(out, c.note(s)), true
		}
	}
	for _, s := range order {
		if key := callOf(s); !done[key] {
			done[key], s = true, c.seen[key]
			s.expected, s.source = true, "chain"
			out = append(out, c.note(s))
		}
	}
	return out
}

// refute withdraws the explanations of chains for which the function tracer
// shows another way: a missing frame was explained by its function's tail call,
// but that function was not entered and another one made the call.
func (c *covering) refute() {
	if c.Entries == nil || c.src.Missed > 0 || c.src.Partial != "" {
		return
	}
	for _, s := range c.chains {
		if traced, _, _ := c.traceable(s.Caller); s.Verdict != ktrace.TailCall || !traced || c.Entries.Count[s.Caller] > 0 || !c.entered[s.Callee] {
			continue
		}
		for key, o := range c.seen {
			if o.Verdict == ktrace.TailCall && (key.caller == s.Caller || key.callee == s.Caller) {
				o.Verdict, o.Evidence = ktrace.NotTaken, fmt.Sprintf("%s: %s was not entered, and something else called %s", c.Entries.Tracer.Name, s.Caller, s.Callee)
				c.seen[key] = o
			}
		}
	}
}

// spread follows the taken way into the functions that have no traceable entry,
// and back from the events to their callers.
func (c *covering) spread() {
	for changed := true; changed; {
		changed = false
		for _, e := range c.edges {
			if c.expected(e) && !c.ran[e.Callee] && c.compiledIn(e) != "" {
				c.ran[e.Callee], changed = true, true
			}
		}
	}
	c.reach, c.could = map[string]string{}, map[string]bool{}
	for f, name := range c.src.Points {
		c.could[f] = true
		if c.events(f) {
			c.reach[f] = name
		}
	}
	for changed := true; changed; {
		changed = false
		for _, e := range c.edges {
			if c.could[e.Callee] && !c.could[e.Caller] {
				c.could[e.Caller], changed = true, true
			}
			if c.reach[e.Callee] != "" && c.reach[e.Caller] == "" && c.always(e) {
				c.reach[e.Caller], changed = c.reach[e.Callee], true
			}
		}
	}
}

// events reports whether the chains of these calls have events of a place: a
// tracepoint's, or those of watched memory. If none has, a source that is
// there may be one that looked at other eventfds.
func (c *covering) events(place string) bool {
	for key := range c.chains {
		if key.callee == place {
			return true
		}
	}
	return false
}

// always: whoever is in the caller takes this edge, in this run.
func (c *covering) always(e ktrace.Edge) bool {
	if slices.Contains(c.Without, e.Branch) {
		return false
	}
	if e.Branch != "" && !c.taken[e.Branch] && !ofMachine(e.Branch) {
		return false
	}
	if o, seen := c.seen[callTo(e, 0)]; seen {
		return o.Verdict != ktrace.NotTaken && !o.either
	}
	switch {
	case isEntry(e.Caller) && !isEntry(e.Callee):
		return false // another system call's
	case e.Kind == ktrace.Pointer: // leads to one function at a time, and not always to one that is documented
		return (c.ran[e.Callee] || c.orphans(e.Callee)) && !c.pointed[[2]string{e.Caller, e.Pointer}]
	}
	return true
}

// orphans reports whether a callee was entered without a documented caller.
func (c *covering) orphans(name string) bool {
	if c.Entries == nil {
		return false
	}
	return slices.ContainsFunc(c.Doc.out[name], func(e ktrace.Edge) bool {
		return c.Entries.Count[e.Callee] > 0 && !c.entered[e.Callee]
	})
}

// expected: the edge lies on the way that was taken.
func (c *covering) expected(e ktrace.Edge) bool { return c.ran[e.Caller] && c.always(e) }

// compiledIn returns the ground on which a callee is known to be inlined into
// its caller, or "".
func (c *covering) compiledIn(e ktrace.Edge) string {
	if !e.Proved || e.Kind == ktrace.Pointer || e.Kind == ktrace.Tracepoint {
		return ""
	}
	syms, known := c.Doc.symbols(e.Callee)
	switch {
	case !known:
		return ""
	case len(syms) == 0 && e.Kind == ktrace.Macro:
		return fmt.Sprintf("%s is a macro%s", e.Callee, at(e))
	case len(syms) == 0:
		return fmt.Sprintf("%s is compiled into %s: the kernel has no such symbol, and the source has the call%s", e.Callee, e.Caller, at(e))
	}
	for _, out := range c.Doc.out[e.Callee] {
		if why, ok := c.Doc.byText([]ktrace.Edge{e}, out); ok && why.verdict == ktrace.Inlined {
			return why.evidence
		}
	}
	if c.Doc.text != nil {
		if ground, ok := c.Doc.lacks(e, maxJump); ok {
			return fmt.Sprintf("%s is compiled into %s: %s, and the source has the call%s", e.Callee, e.Caller, ground, at(e))
		}
	}
	return ""
}

func (c *covering) note(s Step) Step {
	key := callOf(s)
	if t, ok := c.chains[key]; ok {
		s.byChain = t.Verdict
	}
	if t, ok := c.tracer[callTo(s.Edge, 0)]; ok { // the tracer cannot distinguish calls within one chain
		s.byTracer = t.Verdict
	}
	if c.Entries != nil && c.Doc != nil {
		caller, _, _ := c.traceable(s.Caller)
		callee, symbols, _ := c.traceable(s.Callee)
		s.witnessed, s.symbols = caller && callee, symbols
		s.elsewhere = c.src.Missed > 0 || c.src.Partial != "" || c.Entries.around(s.Callee) > 0
	}
	return s
}

// judge gives one edge its verdict.
func (c *covering) judge(e ktrace.Edge) Step {
	if s, ok := c.seen[callTo(e, 0)]; ok && (s.Verdict == ktrace.NotTaken || s.either) {
		return c.note(s)
	} else if ok && s.Verdict != ktrace.NotObservable {
		s.expected, s.source = true, cmp.Or(s.Evidence, "chain")
		return c.note(s)
	}
	s := c.note(Step{Edge: e})
	s.expected = c.expected(e)
	if s.expected {
		c.missing(&s)
	} else {
		c.elsewhere(&s)
	}
	return s
}

// missing judges an edge of the way that was taken and that nothing showed.
func (c *covering) missing(s *Step) {
	traced, symbols, known := c.traceable(s.Callee)
	why := c.compiledIn(s.Edge)
	switch {
	case why != "":
		s.Verdict, s.Evidence, s.source = ktrace.Inlined, why, "symbols"
	case known && !symbols && s.Kind != ktrace.Tracepoint && s.Kind != ktrace.Pointer && !s.Proved:
		s.Verdict, s.source = ktrace.Contradicted, "symbols"
		s.Evidence = fmt.Sprintf("%s ran, but the kernel has no %s, and no source was checked that says that it is called", s.Caller, s.Callee)
	case traced && c.src.Missed > 0:
		s.Verdict, s.Evidence = ktrace.Inconclusive, c.Entries.Tracer.Name+": "+count.Of(c.src.Missed, "record was lost", "records were lost")
	case traced && c.src.Partial != "":
		s.Verdict, s.Evidence = ktrace.NotObservable, c.part()
	case traced:
		c.notEntered(s)
		s.source = c.reach[s.Callee]
	case c.reach[s.Callee] != "" && c.src.Lost > 0:
		s.Verdict, s.Evidence = ktrace.Inconclusive, count.Of(c.src.Lost, "record was lost", "records were lost")
	case c.reach[s.Callee] != "":
		s.Verdict, s.Evidence, s.source = ktrace.NotObservable, noChain, c.reach[s.Callee]
	default:
		s.Verdict, s.Evidence = ktrace.NotObservable, c.unseen(s.Callee, symbols)
	}
}

// noChain: a call without an event has no chain.
const noChain = "no chain came this way, and a call that wakes nobody, or does not sleep, leaves none"

// elsewhere judges an edge that is not known to be on the way that was taken.
// That it was not taken is said of another machine's branch, and of functions
// that the tracer would have shown. That a wake took one branch says nothing of
// other calls.
func (c *covering) elsewhere(s *Step) {
	traced, symbols, _ := c.traceable(s.Callee)
	callerTraced, _, _ := c.traceable(s.Caller)
	byCaller := callerTraced && !c.ran[s.Caller]
	switch {
	case slices.Contains(c.Without, s.Branch) && ofMachine(s.Branch):
		s.Verdict, s.Evidence = ktrace.NotTaken, "branch "+s.Branch
	case (traced || byCaller) && c.src.Missed > 0:
		s.Verdict, s.Evidence = ktrace.Inconclusive, c.Entries.Tracer.Name+": "+count.Of(c.src.Missed, "record was lost", "records were lost")
	case (traced || byCaller) && c.src.Partial != "":
		s.Verdict, s.Evidence = ktrace.NotObservable, c.part()
	case traced || byCaller:
		c.notEntered(s)
	case c.could[s.Callee] && c.src.Lost > 0:
		s.Verdict, s.Evidence = ktrace.Inconclusive, count.Of(c.src.Lost, "record was lost", "records were lost")
	case c.could[s.Callee]:
		s.Verdict, s.Evidence = ktrace.NotObservable, noChain
	default:
		s.Verdict, s.Evidence = ktrace.NotObservable, c.unseen(s.Callee, symbols)
	}
	switch {
	case s.Verdict != ktrace.NotObservable || s.Branch == "" || c.taken[s.Branch]:
	case slices.Contains(c.Without, s.Branch):
		s.Evidence = fmt.Sprintf("branch %s, which is not that of the wake, and %s", s.Branch, s.Evidence)
	default:
		s.Evidence = fmt.Sprintf("branch %s, and %s", s.Branch, s.Evidence)
	}
}

// notEntered judges an edge of which the tracer shows one end and did not see
// it. A function that was not entered was not called, unless it is compiled
// into a caller; one that was entered from elsewhere may have been called here
// too, out of the body of a caller that is compiled into yet another function.
func (c *covering) notEntered(s *Step) {
	en := c.Entries
	traced, _, _ := c.traceable(s.Callee)
	end, into := s.Caller, c.Doc.into(s.Caller)
	if traced {
		end, into = s.Callee, append(c.Doc.into(s.Callee), s.Edge)
	}
	inlined := slices.ContainsFunc(into, func(e ktrace.Edge) bool { return c.compiledIn(e) != "" || e.Inlined != nil })
	s.Verdict, s.Evidence = ktrace.NotTaken, en.notEntered(s.Edge)
	switch {
	case inlined:
		s.Verdict = ktrace.NotObservable
		s.Evidence += ", which may be compiled into its caller"
	case en.around(end) > 0:
		s.Verdict = ktrace.NotObservable
	}
}

// part explains why the absence of a tracer's record shows nothing.
func (c *covering) part() string { return c.Entries.Tracer.Name + ": " + c.src.Partial }

func (c *covering) unseen(callee string, symbols bool) string {
	switch {
	case c.Entries == nil:
		return c.src.Unseen
	case !symbols:
		return fmt.Sprintf("%s is no function of this kernel, so its entry cannot be traced", callee)
	}
	return fmt.Sprintf("%s: %s cannot be traced, and %s", c.Entries.Tracer.Name, callee, c.src.Unseen)
}

func (c *covering) traceable(name string) (traced, symbols, known bool) {
	if c.Doc == nil {
		return false, false, false
	}
	syms, known := c.Doc.symbols(name)
	if c.Entries != nil {
		traced = slices.ContainsFunc(syms, func(s string) bool { return c.Entries.Tracer.Traced[s] })
	}
	return traced, len(syms) > 0, known
}

// rank orders verdicts by weight: a finding first, then a seen edge, then an
// excused or unseen one.
func rank(v ktrace.Verdict) int {
	return slices.Index([]ktrace.Verdict{ktrace.NotTaken, ktrace.NotObservable, ktrace.Inconclusive, ktrace.Inlined, ktrace.TailCall,
		ktrace.Renamed, ktrace.Seen, ktrace.Undocumented, ktrace.Contradicted}, v)
}

// best returns the chains' verdict on each edge: a finding weighs most, and a
// seen edge more than an excused one.
func best(chains []*Chain) (map[call]Step, []Step) {
	m := map[call]Step{}
	var order []Step
	for _, c := range chains {
		if c == nil {
			continue
		}
		for _, s := range c.Steps {
			key := callOf(s)
			old, ok := m[key]
			if !ok {
				order = append(order, s)
			}
			if !ok || rank(s.Verdict) > rank(old.Verdict) {
				m[key] = s
			}
		}
	}
	return m, order
}
