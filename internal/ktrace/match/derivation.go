//go:build linux

package match

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Step is one documented edge of a chain, with its verdict, or a pair of frames
// that no path documents.
type Step struct {
	ktrace.Edge
	Verdict  ktrace.Verdict
	Evidence string
	Symbol   string // the callee's frame as the kernel calls it, "" if it has none
	Why      string // in short, why the callee has no frame of its own
	Nth      int    // 2: the second such call on its chain, and so on; 0: the first
	ShownBy  string // the source whose record has the callee's frame, "" for an edge that none shows
	Borrowed bool   // the explanation comes from the code of another build of the kernel

	either    bool           // another documented way leads there too, and nothing shows which was taken
	expected  bool           // the edge lies on the way that was taken
	source    string         // the source that shows it or could, "" if none here can
	byChain   ktrace.Verdict // the verdict of the chains alone, "" for none
	byTracer  ktrace.Verdict // the verdict of the function tracer alone, "" for none
	witnessed bool           // caller and callee are traced functions
	symbols   bool           // the callee is a function of this kernel
	elsewhere bool           // the function tracer saw the callee entered, by this edge or another, or may have missed it
}

// cause is why a function on a documented walk has no frame.
type cause struct {
	verdict  ktrace.Verdict
	evidence string
	why      string
	borrowed bool // from another build of the kernel
}

func (c cause) excused() bool {
	return c.verdict == ktrace.Inlined || c.verdict == ktrace.TailCall || c.verdict == ktrace.NotObservable
}

// missing says why the function between two documented edges left no frame.
// way is how it was reached from the last frame, in its last edge.
func (d *Doc) missing(way []ktrace.Edge, out ktrace.Edge) cause {
	if d.memo == nil {
		return d.absent(way, out)
	}
	in := way[len(way)-1]
	key := [4]string{d.holder(way), in.Caller, in.Callee, out.Callee}
	c, ok := d.memo.missing[key]
	if !ok {
		c = d.absent(way, out)
		d.memo.missing[key] = c
	}
	return c
}

func (d *Doc) absent(way []ktrace.Edge, out ktrace.Edge) cause {
	c := d.frameless(way, out)
	if d.tracer != nil {
		c = d.hidden(way, c)
	}
	return c
}

func (d *Doc) frameless(way []ktrace.Edge, out ktrace.Edge) cause {
	in := way[len(way)-1]
	g := in.Callee
	if c, ok := d.byText(way, out); ok {
		return c
	}
	if out.Tail != nil && !d.calls(g, out.Callee) {
		return cause{ktrace.TailCall, fmt.Sprintf("%s ends in a jump to %s (in another build, %s), so it leaves no frame", g, out.Callee, out.Tail), "jumps to " + out.Callee, true}
	}
	syms, known := d.symbols(g)
	switch {
	case !known:
		return cause{ktrace.Inconclusive, fmt.Sprintf("%s has no frame, and the kernel's symbols are not known", g), "", false}
	case in.Inlined != nil && in.Proved && !d.called(in.Caller, g):
		return cause{ktrace.Inlined, fmt.Sprintf("%s is compiled into %s (in another build, %s)%s", g, in.Caller, in.Inlined, at(in)), "compiled into " + in.Caller, true}
	case len(syms) > 0:
		return cause{ktrace.Contradicted, fmt.Sprintf("%s is a function of this kernel and is not known to end in a jump to %s, yet it has no frame here", g, out.Callee), "", false}
	case !in.Proved:
		return cause{ktrace.Contradicted, fmt.Sprintf("%s has no frame and no symbol, and no source was checked that says that %s calls it", g, in.Caller), "", false}
	case in.Kind == ktrace.Macro:
		return cause{ktrace.Inlined, fmt.Sprintf("%s is a macro%s", g, at(in)), "a macro in " + in.Caller, false}
	}
	return cause{ktrace.Inlined, fmt.Sprintf("%s is compiled into %s: the kernel has no such symbol, and the source has the call%s", g, in.Caller, at(in)), "compiled into " + in.Caller, false}
}

func at(e ktrace.Edge) string {
	switch {
	case e.File == "":
		return ""
	case e.Line == 0:
		return " in " + e.File
	}
	return fmt.Sprintf(" at %s:%d", e.File, e.Line)
}

// maxWalk bounds the functions that may be missing between two frames.
const maxWalk = 8

// derivation is a documented way from one frame to the next.
type derivation struct {
	edges  []ktrace.Edge
	causes []cause     // of the function after each edge but the last
	bad    int         // functions without an excuse
	other  *derivation // another way without one, nil for none: nothing shows which of the two was taken
}

// has reports whether an edge lies on the walk.
func (w *derivation) has(e ktrace.Edge) bool {
	return slices.ContainsFunc(w.edges, func(o ktrace.Edge) bool { return o.Caller == e.Caller && o.Callee == e.Callee })
}

// parts reports whether two ways without an unexcused function differ: without
// a frame of either, nothing shows which was taken. Between two frames that are
// caller and callee themselves they cannot differ.
func (w *derivation) parts(o *derivation) bool {
	if w.bad > 0 || o.bad > 0 || len(w.edges) < 2 {
		return false
	}
	return slices.ContainsFunc(w.edges, func(e ktrace.Edge) bool { return !o.has(e) })
}

func (w *derivation) better(o *derivation) bool {
	if o == nil || w.bad != o.bad {
		return o == nil || w.bad < o.bad
	}
	return len(w.edges) < len(o.edges)
}

// find returns the best documented walk from caller to callee: the one with
// the fewest unexcused functions, then the shortest. nil: there is none that
// keeps clear of the branches without.
func (d *Doc) find(caller, callee string, without ...string) *derivation {
	var best *derivation
	var all []*derivation       // to the callee
	seen := map[[2]string]int{} // edge -> fewest unexcused on the way to it
	type state struct {
		derivation
		at string
	}
	queue := []state{{at: caller}}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if len(s.edges) > maxWalk {
			continue
		}
		for _, e := range d.out[s.at] {
			if slices.Contains(without, e.Branch) {
				continue
			}
			n := derivation{edges: append(s.edges[:len(s.edges):len(s.edges)], e), causes: s.causes[:len(s.causes):len(s.causes)], bad: s.bad}
			if len(s.edges) > 0 {
				c := d.missing(s.edges, e)
				n.causes = append(n.causes, c)
				if !c.excused() {
					n.bad++
				}
			}
			if e.Callee == callee {
				all = append(all, &n)
				if n.better(best) {
					best = &n
				}
				continue
			}
			// A function may be reached again with another edge in, which may
			// excuse it better: the key is the edge and not the function.
			key := [2]string{e.Caller, e.Callee}
			if b, ok := seen[key]; ok && b <= n.bad {
				continue
			}
			seen[key] = n.bad
			queue = append(queue, state{n, e.Callee})
		}
	}
	if i := slices.IndexFunc(all, func(w *derivation) bool { return w != best && best.parts(w) }); i >= 0 {
		best.other = all[i]
	}
	return best
}

// steps turns a walk that ends at the observed frame f into verdicts.
func (w *derivation) steps(f ktrace.Frame, source string) []Step {
	out := make([]Step, 0, len(w.edges))
	for i, e := range w.edges {
		if w.other != nil && !w.other.has(e) {
			out = append(out, Step{Edge: e, Verdict: ktrace.NotObservable, Evidence: w.either(), either: true})
			continue
		}
		if i < len(w.causes) {
			out = append(out, Step{Edge: e, Verdict: w.causes[i].verdict, Evidence: w.causes[i].evidence, Why: w.causes[i].why, Borrowed: w.causes[i].borrowed})
			continue
		}
		out = append(out, w.last(e, f, source))
	}
	return out
}

// either names the two ways of which one was taken.
func (w *derivation) either() string {
	way := func(w, o *derivation) string {
		var names []string
		for _, e := range w.edges[:len(w.edges)-1] {
			if !slices.ContainsFunc(o.edges, func(f ktrace.Edge) bool { return f.Callee == e.Callee }) {
				names = append(names, e.Callee)
			}
		}
		return cmp.Or(strings.Join(names, ", "), "no other function")
	}
	return fmt.Sprintf("%s leads to %s by %s and by %s, and neither leaves a frame", w.edges[0].Caller, w.edges[len(w.edges)-1].Callee, way(w, w.other), way(w.other, w))
}

// last judges the edge whose callee has the frame.
func (w *derivation) last(e ktrace.Edge, f ktrace.Frame, source string) Step {
	s := Step{Edge: e, Verdict: ktrace.Seen, Evidence: source, ShownBy: source, Symbol: symbolFor(f, e.Callee)}
	if n := len(w.causes); n > 0 {
		s.Borrowed = w.causes[n-1].borrowed
		switch c := w.causes[n-1]; c.verdict {
		case ktrace.TailCall:
			s.Verdict, s.Evidence, s.ShownBy = ktrace.TailCall, c.evidence, ""
			return s
		case ktrace.Inlined:
			s.Evidence = fmt.Sprintf("%s, from the body of %s inside %s", source, e.Caller, w.edges[0].Caller)
		case ktrace.NotObservable:
			s.Evidence = fmt.Sprintf("%s, from %s", source, c.evidence)
		default:
			s.Verdict, s.Evidence, s.ShownBy = c.verdict, c.evidence, ""
			return s
		}
	}
	if s.Symbol != e.Callee && !isSysBody(s.Symbol, e.Callee) {
		s.Verdict = ktrace.Renamed
		s.Evidence = fmt.Sprintf("%s, as %s", s.Evidence, s.Symbol)
	}
	return s
}

// symbolFor is the symbol at a frame's address that stands for a source
// function: identical functions may have been folded into one.
func symbolFor(f ktrace.Frame, name string) string {
	for _, sym := range append([]string{f.Name}, f.Aliases...) {
		if slices.Contains(sourceNames(sym), name) {
			return sym
		}
	}
	return f.Name
}

// isSysBody reports whether sym is SYSCALL_DEFINE's function for a call:
// __x64_sys_write is no compiler's variant of sys_write.
func isSysBody(sym, name string) bool {
	for _, p := range catalog.DefaultModel().SourcePrefixes() {
		if len(sym) > len(p) && sym[:len(p)] == p && "sys_"+sym[len(p):] == name {
			return true
		}
	}
	return false
}
