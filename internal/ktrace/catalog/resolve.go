//go:build linux

package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// expand returns the edges of a document with those of the parts it uses. A
// call that comes twice is kept once.
func (c *Catalog) expand(d *document) []*edge {
	var out []*edge
	type id struct{ caller, callee, file, with, without string }
	seen := map[id]bool{}
	var walk func(d *document, arg, branch string, with []string)
	walk = func(d *document, arg, branch string, with []string) {
		for _, it := range d.items {
			if it.use != "" {
				a, b := it.arg, it.branch
				if a == "$1" {
					a = arg
				}
				if b == "" {
					b = branch
				}
				walk(c.parts[it.use], a, b, slices.Concat(with, it.with))
				continue
			}
			e := *it.edge
			if arg != "" {
				for _, f := range []*string{&e.Caller, &e.Callee, &e.Note, &e.SetBy} {
					*f = strings.ReplaceAll(*f, "$1", arg)
				}
			}
			if e.Branch == "" {
				e.Branch = branch
			}
			for _, w := range with {
				if w[0] == '+' {
					e.with = append(slices.Clone(e.with), w[1:])
				} else {
					e.without = append(slices.Clone(e.without), w[1:])
				}
			}
			k := id{e.Caller, e.Callee, e.File, strings.Join(e.with, " "), strings.Join(e.without, " ")}
			if !seen[k] {
				seen[k] = true
				out = append(out, &e)
			}
		}
	}
	walk(d, "", "", nil)
	return out
}

// gathered is what a document says of a path besides its calls, with what the
// parts that it uses say.
type gathered struct {
	roots       []string
	branches    []ktrace.Branch
	ways        []way
	structs     []ktrace.Struct
	limits      []string
	corrections []ktrace.Correction
}

func (c *Catalog) gather(d *document) *gathered {
	g := &gathered{}
	c.gatherInto(g, d, "")
	return g
}

func (c *Catalog) gatherInto(g *gathered, d *document, arg string) {
	for _, r := range d.roots {
		g.roots = addOnce(g.roots, strings.ReplaceAll(r, "$1", arg))
	}
	for _, b := range d.branches {
		if !slices.ContainsFunc(g.branches, func(o ktrace.Branch) bool { return o.Name == b.Name }) {
			g.branches = append(g.branches, b)
		}
	}
	g.ways = append(g.ways, d.ways...)
	for _, s := range d.structs {
		if !slices.ContainsFunc(g.structs, func(o ktrace.Struct) bool { return o.Name == s.Name }) {
			g.structs = append(g.structs, s)
		}
	}
	for _, l := range d.limits {
		g.limits = addOnce(g.limits, l)
	}
	for _, x := range d.corrections {
		g.corrections = addOnce(g.corrections, x)
	}
	for _, it := range d.items {
		if it.use != "" {
			a := it.arg
			if a == "$1" {
				a = arg
			}
			c.gatherInto(g, c.parts[it.use], a)
		}
	}
}

func addOnce[T comparable](s []T, x T) []T {
	if slices.Contains(s, x) {
		return s
	}
	return append(s, x)
}

// resolve makes the path that holds for v.
func (c *Catalog) resolve(d *document, v ktrace.Version, syms ktrace.SymbolSet) *ktrace.Path {
	w, word := c.nearest(v)
	g := c.gather(d)
	p := &ktrace.Path{Name: d.name, Title: d.title, Intro: d.intro, Kernel: v.String(), Branches: g.branches,
		Structs: g.structs, Limits: g.limits, Corrections: g.corrections, Functions: map[string]ktrace.Function{}}
	tree := c.linesFor(w)
	if tree != nil {
		p.Tree = tree.Version.String()
	}
	decided := map[string]decision{}
	has := func(name string) bool {
		dec, ok := decided[name]
		if !ok {
			dec = c.changes[name].in(w, syms)
			decided[name] = dec
		}
		return dec.has
	}
	for _, w := range g.ways {
		if w.holds(has) {
			p.Ways = append(p.Ways, w.Way)
		}
	}
	edges := reachable(g.roots, chosen(c.expand(d), has))
	for _, e := range edges {
		p.Edges = append(p.Edges, c.finish(e, w, tree, syms != nil))
	}
	p.DecidedBy = word + c.grounds(decided)
	p.Roots = roots(g.roots, p.Edges)
	c.describe(p)
	return p
}

// chosen are the edges whose changes hold. Every change is asked, so that the
// answer can name what it decided on.
func chosen(edges []*edge, has func(string) bool) []*edge {
	var out []*edge
	for _, e := range edges {
		ok := true
		for _, n := range e.with {
			ok = has(n) && ok
		}
		for _, n := range e.without {
			ok = !has(n) && ok
		}
		if ok {
			out = append(out, e)
		}
	}
	return out
}

// holds reports whether a kernel with these changes has the way so.
func (w *way) holds(has func(string) bool) bool {
	return !slices.ContainsFunc(w.with, func(n string) bool { return !has(n) }) && !slices.ContainsFunc(w.without, has)
}

// reachable drops the edges that no root leads to: what only a part that does
// not hold here would have called.
func reachable(roots []string, edges []*edge) []*edge {
	from := map[string]bool{}
	for _, r := range roots {
		from[r] = true
	}
	for grew := true; grew; {
		grew = false
		for _, e := range edges {
			if from[e.Caller] && !from[e.Callee] {
				from[e.Callee], grew = true, true
			}
		}
	}
	var out []*edge
	for _, e := range edges {
		if from[e.Caller] {
			out = append(out, e)
		}
	}
	return out
}

// finish fills in what the version decides: range, line, proof, build.
func (c *Catalog) finish(e *edge, v ktrace.Version, tree *Tree, bySymbol bool) ktrace.Edge {
	out := e.Edge
	var since, until *Change
	for _, n := range e.with {
		if ch := c.changes[n]; since == nil || ch.After.Compare(since.After) > 0 {
			since = ch
		}
	}
	for _, n := range e.without {
		if ch := c.changes[n]; until == nil || ch.After.Compare(until.After) < 0 {
			until = ch
		}
	}
	if since != nil {
		out.Since = since.Since()
	}
	if until != nil {
		out.Until = until.Since()
	}
	id := e.id()
	if tree != nil {
		out.Line = c.lineIn(tree, id)
	}
	out.Proved = c.proved(id, v, bySymbol)
	if b, ok := c.builds[call{e.Caller, e.Callee}]; ok {
		out.Tail, out.Inlined = b.tail, b.inlined
	}
	if i := strings.LastIndex(e.Callee, "_sys_"); out.Tail == nil && i > 0 {
		if b, ok := c.builds[call{e.Caller, e.Callee[:i] + "_sys_*"}]; ok {
			out.Tail, out.Inlined = b.tail, b.inlined
		}
	}
	return out
}

// nearest is the version to answer with, and the word about it.
func (c *Catalog) nearest(v ktrace.Version) (ktrace.Version, string) {
	if len(c.trees) == 0 {
		return v, "version " + v.String() + ", no tree of which was reviewed"
	}
	first, last := c.trees[0].Version, c.trees[len(c.trees)-1].Version
	switch {
	case v.Compare(first) < 0:
		return first, fmt.Sprintf("version: %s is older than the oldest reviewed kernel, answered as %s", v, first)
	case v.Compare(last) > 0 && v.Series() != last.Series():
		return last, fmt.Sprintf("version: %s is newer than the newest reviewed kernel, answered as %s", v, last)
	}
	if t := c.treeOf(v); t != nil {
		if t.Version == v {
			return v, "version " + v.String() + ", reviewed"
		}
		return v, fmt.Sprintf("version %s, reviewed as %s", v, t.Version)
	}
	if t := c.linesFor(v); t != nil {
		return v, fmt.Sprintf("version %s, of whose series %s was reviewed: lines are of that", v, t.Version)
	}
	lo, hi := c.around(v)
	return v, fmt.Sprintf("version %s, not reviewed itself: the change log between %s and %s decides", v, lo.Version, hi.Version)
}

// Version is what a path says of the version it was chosen by.
func Version(p *ktrace.Path) string {
	s, _, _ := strings.Cut(p.DecidedBy, ";")
	return s
}

// grounds says on what besides the version was decided.
func (c *Catalog) grounds(decided map[string]decision) string {
	var symbols, doubts, carried []string
	for _, ch := range c.order {
		d, ok := decided[ch.Name]
		switch {
		case !ok:
		case d.symbol != "":
			s := "has " + d.symbol
			if !d.present {
				s = "has no " + d.symbol
			}
			if !slices.Contains(symbols, s) {
				symbols = append(symbols, s)
			}
		case d.carried:
			carried = append(carried, ch.Name)
		case d.doubt != "":
			taken := "taken as without"
			if d.has {
				taken = "taken as with"
			}
			doubts = append(doubts, fmt.Sprintf("%s: %s, %s", ch.Name, d.doubt, taken))
		}
	}
	out := ""
	if len(carried) > 0 {
		out += "; taken over from later kernels: " + strings.Join(carried, ", ")
	}
	if len(symbols) > 0 {
		out += "; symbols: " + strings.Join(symbols, ", ")
	}
	if len(doubts) > 0 {
		out += "; not certain: " + strings.Join(doubts, "; ")
	}
	return out
}

// roots are those of the named functions that this kernel has.
func roots(named []string, edges []ktrace.Edge) []string {
	known := map[string]bool{}
	for _, e := range edges {
		known[e.Caller] = true
	}
	var out []string
	for _, r := range named {
		if known[r] {
			out = append(out, r)
		}
	}
	return out
}

// describe fills in the functions of a path, and the notes that an edge does
// not have of its own.
func (c *Catalog) describe(p *ktrace.Path) {
	add := func(name string) ktrace.Function {
		if f, ok := p.Functions[name]; ok {
			return f
		}
		f, ok := c.funcs[name]
		if i := strings.LastIndex(name, "_sys_"); !ok && i > 0 {
			f = c.funcs[name[:i]+"_sys_*"]
			f.Text = strings.ReplaceAll(f.Text, "$1", name[i+len("_sys_"):])
		}
		f.Name = name
		p.Functions[name] = f
		return f
	}
	for i := range p.Edges {
		e := &p.Edges[i]
		add(e.Caller)
		if f := add(e.Callee); e.Note == "" {
			e.Note = f.Text
		}
	}
	for _, e := range p.Edges {
		// A function's file is where its calls are written: that follows moves.
		f := p.Functions[e.Caller]
		f.File = e.File
		p.Functions[e.Caller] = f
	}
}
