//go:build linux

package match

import (
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
)

// Tracer describes the function tracer that recorded the entries.
type Tracer struct {
	Name   string          // as the evidence names it
	Graph  bool            // an entry's stack holds the caller and not the return address
	Traced map[string]bool // the symbols that it was asked to trace and can
}

// Entries are the functions that were seen entered in some calls, and by which
// documented edges.
type Entries struct {
	Tracer *Tracer
	Count  map[string]int // by documented name
	Chain  *Chain         // the documented edges, each once

	// Around has the same as Count for all that the tracer saw of the threads,
	// not of these calls alone. nil: it saw these calls.
	Around map[string]int
}

// around is how often a function was entered, in these calls or others.
func (en *Entries) around(name string) int { return max(en.Count[name], en.Around[name]) }

// Trace holds the entries that the function tracer saw against d. An entry
// whose caller no documented way leads from says nothing: other functions call
// it too, and only the documented ones are traced.
func (d *Doc) Trace(tr *Tracer, events []*ktrace.Event) *Entries {
	en := &Entries{Tracer: tr, Count: map[string]int{}, Chain: &Chain{}}
	own := *d
	own.tracer, own.memo = tr, &memo{map[string][]string{}, map[string][]string{}, map[[4]string]cause{}}
	have := map[[2]string]int{}
	last := map[returning]string{}
	pairs := map[[3]string][]Step{}
	for _, ev := range events {
		if ev.Kind != ktrace.FuncEntry || len(ev.Stack) == 0 {
			continue
		}
		names := own.known(ev.Stack[0])
		for _, n := range names {
			en.Count[n]++
		}
		if len(ev.Stack) < 2 || len(names) == 0 {
			continue
		}
		at := returning{ev.TID, ev.Stack[1].Name}
		before := last[at]
		last[at] = names[0]
		if tr.Graph {
			before = "" // the caller is known
		}
		key := [3]string{ev.Stack[1].Name, ev.Stack[0].Name, before}
		steps, ok := pairs[key]
		if !ok {
			steps = own.entered(ev, names, before)
			pairs[key] = steps
		}
		for _, s := range steps {
			k := [2]string{s.Caller, s.Callee}
			i, ok := have[k]
			switch {
			case !ok:
				have[k] = len(en.Chain.Steps)
				en.Chain.Steps = append(en.Chain.Steps, s)
			case rank(s.Verdict) > rank(en.Chain.Steps[i].Verdict):
				en.Chain.Steps[i] = s
			}
		}
	}
	Doubted(en.Chain.Steps, d.doubt)
	return en
}

// CountEntries counts the entries of documented functions.
func (d *Doc) CountEntries(events []*ktrace.Event) map[string]int {
	counts, known := map[string]int{}, map[string][]string{}
	for _, ev := range events {
		if ev.Kind != ktrace.FuncEntry || len(ev.Stack) == 0 {
			continue
		}
		f := ev.Stack[0]
		names, ok := known[f.Name]
		if !ok {
			names = d.known(f)
			known[f.Name] = names
		}
		for _, n := range names {
			counts[n]++
		}
	}
	return counts
}

// returning is the place that a function of a thread will return to.
type returning struct {
	tid int
	to  string
}

// entered judges one entry: the documented way from the next function on its
// stack, if there is one without a function that must appear too. before is the
// previous entry with the same return address, "" if the tracer shows the
// caller.
func (d *Doc) entered(ev *ktrace.Event, names []string, before string) []Step {
	caller, callee := ev.Stack[1], ev.Stack[0]
	if before != "" {
		if steps := d.jumped(before, names, callee, caller.Name); steps != nil {
			return steps
		}
	}
	var best *derivation
	for _, a := range d.known(caller) {
		for _, b := range names {
			if w := d.find(a, b); w != nil && w.better(best) {
				best = w
			}
		}
	}
	if best == nil || best.bad > 0 {
		return nil
	}
	steps := best.steps(callee, d.tracer.Name)
	if s := steps[len(steps)-1]; s.Verdict == ktrace.TailCall {
		if traced, _ := d.traceable(s.Caller); traced {
			return nil // it was not entered
		}
	}
	return steps
}

// jumped judges an entry after which the function will return to where the
// one entered before it will: the function tracer shows no more of a jump.
func (d *Doc) jumped(before string, names []string, callee ktrace.Frame, to string) []Step {
	for _, n := range names {
		w := d.find(before, n)
		if w == nil || w.bad > 0 || !d.jumps(before, n, w.edges) {
			continue
		}
		steps := w.steps(callee, d.tracer.Name)
		s := &steps[len(steps)-1]
		s.Verdict, s.ShownBy = ktrace.Seen, d.tracer.Name
		s.Evidence = fmt.Sprintf("%s: %s, then %s, both to return to %s: a jump", d.tracer.Name, before, callee.Name, to)
		return steps
	}
	return nil
}

// jumps reports whether a function is known to jump to another.
func (d *Doc) jumps(from, to string, way []ktrace.Edge) bool {
	if d.text != nil {
		if _, ok := d.text.TailCall(from, to); ok {
			return true
		}
	}
	return way[0].Tail != nil
}

// hidden says why a function between two entries was not seen entered itself.
// function_graph shows the functions that are left by a tail call, so there that is no reason.
func (d *Doc) hidden(way []ktrace.Edge, c cause) cause {
	g := way[len(way)-1].Callee
	traced, has := d.traceable(g)
	switch {
	case traced && c.verdict == ktrace.TailCall && d.tracer.Graph:
		return cause{ktrace.Contradicted, fmt.Sprintf("%s was not entered", g), "", false}
	case has && !traced && !c.excused():
		return cause{ktrace.NotObservable, fmt.Sprintf("%s, which cannot be traced, in %s", g, d.holder(way)), "", false}
	}
	return c
}

// traceable reports whether the tracer shows the entry of a function; has,
// whether the kernel has a symbol for it at all.
func (d *Doc) traceable(name string) (traced, has bool) {
	syms, _ := d.symbols(name)
	return d.tracer != nil && slices.ContainsFunc(syms, func(s string) bool { return d.tracer.Traced[s] }), len(syms) > 0
}

// notEntered gives the function tracer's verdict on an edge without a record.
func (en *Entries) notEntered(e ktrace.Edge) string {
	n := en.Count[e.Caller]
	switch {
	case n == 0 && en.around(e.Callee) > 0:
		return fmt.Sprintf("%s: %s was entered only from elsewhere", en.Tracer.Name, e.Callee)
	case n == 0:
		return fmt.Sprintf("%s: %s was not entered", en.Tracer.Name, e.Callee)
	case en.around(e.Callee) > 0:
		return fmt.Sprintf("%s: %s was entered %s, and %s only from elsewhere", en.Tracer.Name, e.Caller, times(n), e.Callee)
	}
	return fmt.Sprintf("%s: %s was entered %s and %s never", en.Tracer.Name, e.Caller, times(n), e.Callee)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
