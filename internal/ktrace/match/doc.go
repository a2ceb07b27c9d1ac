//go:build linux

// Package match compares an observed kernel call chain with documented paths
// and gives a verdict per edge. It names no kernel function itself: it excuses
// an edge only on proofs of the catalogue and on the symbols that exist.
//
// The function tracer's entries are judged together with the chains. Two
// figures result: CoverageOf, and TracerCoverage for the tracer alone.
package match

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Doc is the union of the documented paths that may explain one chain: the path
// of the call and those of the call that it woke. It is never the union of all
// paths, or a missing frame would be excused by a path that was not taken.
type Doc struct {
	out   map[string][]ktrace.Edge // by caller
	names map[string]bool
	roots []string
	syms  ktrace.SymbolSet
	text  ktrace.TextProof

	doubt  string  // why d cannot judge the kernel, "" if it can
	tracer *Tracer // nil: frames are those of call chains
	memo   *memo   // nil: nothing is kept
}

// memo caches the queries of a Doc, which the thousands of entries of one trace
// repeat.
type memo struct {
	symbols map[string][]string
	known   map[string][]string
	missing map[[4]string]cause
}

// WithText lets the kernel's machine code decide why a function has no frame.
// text may be nil.
func (d *Doc) WithText(text ktrace.TextProof) *Doc {
	d.text = text
	return d
}

// WithDoubt says why a kernel may differ from its documents without an error on
// either side, "" for no reason.
func (d *Doc) WithDoubt(why string) *Doc {
	d.doubt = why
	return d
}

// Doubted turns findings into open edges, since why explains that the documents
// cannot judge this kernel. why may be "".
func Doubted(steps []Step, why string) []Step {
	if why == "" {
		return steps
	}
	for i := range steps {
		if s := &steps[i]; s.Verdict.Finding() {
			s.Evidence = fmt.Sprintf("it would be %s (%s), but %s", strings.ReplaceAll(string(s.Verdict), "_", " "), s.Evidence, why)
			s.Verdict = ktrace.Inconclusive
		}
	}
	return steps
}

// NewDoc joins primary, whose roots a chain has to start at, with the paths
// that may continue it, leaving out the branches that cannot have been taken.
// syms may be nil: then no missing frame is excused as inlined, and the
// verdict says that the symbols are not known.
func NewDoc(syms ktrace.SymbolSet, without []string, primary *ktrace.Path, more ...*ktrace.Path) *Doc {
	d := &Doc{out: map[string][]ktrace.Edge{}, names: map[string]bool{}, syms: syms}
	have := map[[2]string]int{}
	for _, p := range append([]*ktrace.Path{primary}, more...) {
		if p == nil {
			continue
		}
		for _, e := range p.Edges {
			// Branches part at a pointer. The functions that a branch calls may
			// be called by others too. The watcher of an epoll is not woken
			// from the epoll's own queue.
			own := ownBranch(e.Branch) || e.Branch == "epoll-waiter" && !slices.Contains(without, "epoll")
			if (e.Kind == ktrace.Pointer || own) && slices.Contains(without, e.Branch) {
				continue
			}
			d.names[e.Caller], d.names[e.Callee] = true, true
			key := [2]string{e.Caller, e.Callee}
			if i, ok := have[key]; ok {
				merge(&d.out[e.Caller][i], e)
				continue
			}
			have[key] = len(d.out[e.Caller])
			d.out[e.Caller] = append(d.out[e.Caller], e)
		}
	}
	if primary != nil {
		for _, r := range primary.Roots {
			if len(d.out[r]) > 0 { // not another machine's
				d.roots = append(d.roots, r)
			}
		}
	}
	return d
}

// ownBranch reports whether a branch shares no later edge with others: those of
// the machine, the wake of an epoll's watcher, and the operations of epoll_ctl.
func ownBranch(branch string) bool {
	return ofMachine(branch) || slices.Contains([]string{"epoll-outer", "add", "modify", "delete"}, branch)
}

// ofMachine reports whether the machine decides the branch.
func ofMachine(branch string) bool { return catalog.DefaultModel().Machine(branch) }

// merge joins the facts of two paths about the same call.
func merge(into *ktrace.Edge, e ktrace.Edge) {
	if into.Tail == nil {
		into.Tail = e.Tail
	}
	if into.Note == "" {
		into.Note = e.Note
	}
	into.Proved = into.Proved || e.Proved
}

// suffixes are the compilers' suffixes of function variants. A function with
// ".cold" is the function's own body, moved away.
var suffixes = []string{".__uniq.", ".constprop.", ".isra.", ".part.", ".cold", ".llvm.", ".lto_priv."}

// BaseName strips the compiler's suffixes.
func BaseName(sym string) string {
	for _, s := range suffixes {
		if i := strings.Index(sym, s); i > 0 {
			sym = sym[:i]
		}
	}
	return sym
}

// sourceNames are the names under which the documentation may have a symbol:
// as it is, without suffixes, and sys_NAME.
func sourceNames(sym string) []string {
	names := []string{sym}
	base := BaseName(sym)
	if base != sym {
		names = append(names, base)
	}
	// A label inside the function, at which its frames begin.
	if fn, ok := strings.CutSuffix(base, "_after_hwframe"); ok {
		names = append(names, fn)
	}
	for _, p := range catalog.DefaultModel().SourcePrefixes() {
		if rest, ok := strings.CutPrefix(base, p); ok {
			names = append(names, "sys_"+rest)
		}
	}
	return names
}

// known returns the documented names that a frame can stand for, the exact
// one first.
func (d *Doc) known(f ktrace.Frame) []string {
	if d.memo != nil && len(f.Aliases) == 0 {
		out, ok := d.memo.known[f.Name]
		if !ok {
			out = d.namesOf(f)
			d.memo.known[f.Name] = out
		}
		return out
	}
	return d.namesOf(f)
}

func (d *Doc) namesOf(f ktrace.Frame) []string {
	var out []string
	for _, sym := range append([]string{f.Name}, f.Aliases...) {
		for _, n := range sourceNames(sym) {
			if d.names[n] && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// symbols returns the kernel's symbols for a source function; ok is false
// if they are not known: a recording has those that were asked for when it
// was made.
func (d *Doc) symbols(name string) (syms []string, ok bool) {
	if d.syms == nil {
		return nil, false
	}
	if a, some := d.syms.(interface{ Asked(string) bool }); some && !a.Asked(name) {
		return nil, false
	}
	if d.memo != nil {
		if syms, ok = d.memo.symbols[name]; ok {
			return syms, true
		}
	}
	syms = d.syms.Variants(name)
	if rest, isSys := strings.CutPrefix(name, "sys_"); isSys && len(syms) == 0 {
		for _, p := range catalog.DefaultModel().SourcePrefixes() {
			syms = append(syms, d.syms.Variants(p+rest)...)
		}
	}
	if d.memo != nil {
		d.memo.symbols[name] = syms
	}
	return syms, true
}

// Calls returns the documented calls that a function makes, in the order of the
// documents. They are not to be changed.
func (d *Doc) Calls(function string) []ktrace.Edge { return d.out[function] }

// Has reports whether the documents name a function.
func (d *Doc) Has(function string) bool { return d.names[function] }

// Roots returns the documented starts.
func (d *Doc) Roots() []string { return slices.Clone(d.roots) }

// isRoot reports whether one of a frame's documented names is a root.
func (d *Doc) isRoot(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(d.roots, n) })
}

// callees lists the documented callees of a function, for evidence.
func (d *Doc) callees(name string) string {
	var out []string
	for _, e := range d.out[name] {
		out = append(out, e.Callee)
	}
	if len(out) > 6 {
		out = append(out[:6], "…")
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}
