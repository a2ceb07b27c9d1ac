// Package match holds an observed kernel call chain against documented paths
// and gives a verdict per edge. It knows no kernel: what it grants, it grants
// on what the catalogue proved and on the symbols that exist.
//
// The entries that a function tracer saw are judged beside the chains. Two
// figures come of both: Coverage, and Witness for the tracer alone.
package match

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// Doc is the union of the documented paths that may explain one chain: the
// path of the call that was made and those of the call that it woke. Never
// all paths at once, or a frame that is missing would be excused by a path
// that was not taken.
type Doc struct {
	out   map[string][]ktrace.Edge // by caller
	names map[string]bool
	roots []string
	syms  ktrace.SymbolSet
	text  ktrace.TextProof

	tracer *Tracer // nil: frames are those of call chains
	memo   *memo   // nil: nothing is kept
}

// memo keeps what is asked of a Doc again and again by the thousand entries of
// one tracing.
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
			// A branch parts from the others at a pointer. What its functions
			// call, other branches may call too. Who polls an epoll is not woken
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

// ownBranch: branches that part elsewhere and share nothing behind it: those
// that the machine decides, the wake of who watches an epoll, and what
// epoll_ctl is asked to do.
func ownBranch(branch string) bool {
	return slices.Contains([]string{"x86-64", "arm64", "epoll-outer", "add", "modify", "delete"}, branch)
}

// merge keeps what either of two paths knows of the same call.
func merge(into *ktrace.Edge, e ktrace.Edge) {
	if into.Tail == "" {
		into.Tail = e.Tail
	}
	if into.Note == "" {
		into.Note = e.Note
	}
	into.Proved = into.Proved || e.Proved
}

// suffixes are what compilers add to the name of a function's variant. What
// is left of ".cold" is the function's own body, moved away.
var suffixes = []string{".constprop.", ".isra.", ".part.", ".cold", ".llvm.", ".lto_priv."}

// BaseName strips the compiler's suffixes.
func BaseName(sym string) string {
	for _, s := range suffixes {
		if i := strings.Index(sym, s); i > 0 {
			sym = sym[:i]
		}
	}
	return sym
}

// sysPrefixes are the symbols behind SYSCALL_DEFINEn(NAME): the source's
// sys_NAME is __x64_sys_NAME in a kernel for x86-64.
var sysPrefixes = []string{"__x64_sys_", "__arm64_sys_", "__ia32_sys_", "__s390x_sys_", "__riscv_sys_", "__se_sys_", "__do_sys_", "__se_compat_sys_"}

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
	for _, p := range sysPrefixes {
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
// where they are not known: a recording has those that were asked for when it
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
		for _, p := range sysPrefixes {
			syms = append(syms, d.syms.Variants(p+rest)...)
		}
	}
	if d.memo != nil {
		d.memo.symbols[name] = syms
	}
	return syms, true
}

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

// Route is the shortest documented way from a root over the given functions
// to the last of them, whatever frames it would leave; nil where there is
// none. Functions that this kernel does not have are passed over.
func (d *Doc) Route(via ...string) []ktrace.Edge {
	for _, r := range d.roots {
		at, edges, ok := r, []ktrace.Edge(nil), true
		for _, v := range via {
			if !d.names[v] {
				continue
			}
			part := d.shortest(at, v)
			if part == nil {
				ok = false
				break
			}
			edges, at = append(edges, part...), v
		}
		if ok && len(edges) > 0 {
			return edges
		}
	}
	return nil
}

// shortest is a breadth-first search.
func (d *Doc) shortest(from, to string) []ktrace.Edge {
	came := map[string]ktrace.Edge{}
	queue := []string{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, e := range d.out[at] {
			if _, ok := came[e.Callee]; ok || e.Callee == from && to != from {
				continue
			}
			came[e.Callee] = e
			if e.Callee == to {
				out := []ktrace.Edge{e}
				for out[0].Caller != from {
					out = append([]ktrace.Edge{came[out[0].Caller]}, out...)
				}
				return out
			}
			queue = append(queue, e.Callee)
		}
	}
	return nil
}
