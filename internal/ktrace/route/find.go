//go:build linux

package route

import (
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Find is a documented way from one of the roots over the given functions to
// the last of them, whatever frames it would leave; nil if there is none. It
// takes the named branches, and as few others as it can; of such ways it is the
// shortest, from the outermost root. A branch that cannot be taken on this
// kernel is passed over, the last of them first, and so are functions that the
// kernel does not have.
func Find(d *match.Doc, roots, branches []string, via ...string) []ktrace.Edge {
	r := &router{doc: d, roots: roots, branches: branches}
	r.via = slices.DeleteFunc(slices.Clone(via), func(v string) bool { return !d.Has(v) })
	for {
		if best := r.best(); best != nil || len(r.branches) == 0 {
			return best.edges()
		}
		r.branches = r.branches[:len(r.branches)-1]
	}
}

// best is the best route of all roots.
func (r *router) best() (best *routed) {
	for _, root := range r.roots {
		way := r.from(root)
		switch {
		case way == nil:
		case best == nil, way.cost/detour < best.cost/detour, way.cost/detour == best.cost/detour && !best.over(root) && (way.cost < best.cost || way.over(best.start())):
			best = way
		}
	}
	return best
}

// router looks for a way.
type router struct {
	doc                  *match.Doc
	roots, via, branches []string
}

// place is how far a route got: at a function, over so many of the functions
// that it has to pass, and with these of its branches taken, a bit each.
type place struct {
	at     string
	passed int
	taken  uint
}

// routed is a route so far.
type routed struct {
	place
	last ktrace.Edge
	from *routed // nil: the start
	cost int
}

// detour is the cost of a branch that was not named: more than the length of
// any way.
const detour = 1 << 10

func (r *router) from(root string) *routed {
	if len(r.via) == 0 {
		return nil
	}
	done := map[place]bool{}
	open := []*routed{{place: place{at: root}}}
	for len(open) > 0 {
		i := cheapest(open)
		s := open[i]
		open = slices.Delete(open, i, i+1)
		if done[s.place] {
			continue
		}
		done[s.place] = true
		if s.passed == len(r.via) {
			return s
		}
		for _, e := range r.doc.Calls(s.at) {
			if next := r.step(s, e); next != nil && !done[next.place] {
				open = append(open, next)
			}
		}
	}
	return nil
}

// cheapest is the first of the least cost: of equal ways the one that the
// documents name first is taken.
func cheapest(open []*routed) (at int) {
	for i, s := range open {
		if s.cost < open[at].cost {
			at = i
		}
	}
	return at
}

// step goes on by one call, nil if that is not on the way.
func (r *router) step(s *routed, e ktrace.Edge) *routed {
	next := &routed{place: place{e.Callee, s.passed, s.taken}, last: e, from: s, cost: s.cost + 1}
	if s.passed > 0 && slices.Contains(match.NotOnTheWay(ktrace.Frame{Name: r.via[s.passed-1]}, r.via[s.passed:]), e.Branch) {
		return nil
	}
	switch i := slices.Index(r.branches, e.Branch); {
	case i >= 0:
		next.taken |= 1 << i
	case e.Branch != "" && !catalog.DefaultModel().Machine(e.Branch):
		next.cost += detour
	}
	if e.Callee == r.via[s.passed] {
		next.passed++
	}
	if next.passed == len(r.via) && next.taken != 1<<len(r.branches)-1 {
		return nil
	}
	return next
}

// start is where a route begins.
func (w *routed) start() string {
	for w.from != nil {
		w = w.from
	}
	return w.at
}

// over reports whether a route comes to a function after its start.
func (w *routed) over(function string) bool {
	for ; w.from != nil; w = w.from {
		if w.at == function {
			return true
		}
	}
	return false
}

func (w *routed) edges() (out []ktrace.Edge) {
	for ; w != nil && w.from != nil; w = w.from {
		out = append(out, w.last)
	}
	slices.Reverse(out)
	return out
}
