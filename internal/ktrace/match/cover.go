package match

import (
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
)

// Group is some documented paths and the chains that may have taken them. A
// branch of a write that slept is not shown by a chain of ppoll.
type Group struct {
	Paths   []*ktrace.Path
	Chains  []*Chain
	Without []string // branches that cannot have been taken
}

// Cover gives every documented edge of the groups a verdict: what the chains
// show of it, and why they cannot show the rest. Findings that belong to no
// documented edge come last. unseen says why nothing lies below the functions
// that no tracepoint reaches; lost is the number of records that were lost.
func Cover(groups []Group, unseen string, lost uint64) []Step {
	var out []Step
	index := map[call]int{}
	for _, g := range groups {
		for _, s := range g.cover(unseen, lost) {
			key := callOf(s)
			i, ok := index[key]
			switch {
			case !ok:
				index[key] = len(out)
				out = append(out, s)
			case rank(s.Verdict) > rank(out[i].Verdict):
				out[i] = s
			}
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

func (g *Group) cover(unseen string, lost uint64) []Step {
	observed, order := best(g.Chains)
	taken := map[string]bool{}
	for _, s := range order {
		if s.Branch != "" {
			taken[s.Branch] = true
		}
	}
	reach := reaches(g.Paths)
	var out []Step
	done := map[call]bool{}
	for _, p := range g.Paths {
		for _, e := range p.Edges {
			key := call{e.Caller, e.Callee, 0}
			if done[key] {
				continue
			}
			done[key] = true
			s, ok := observed[key]
			for key.nth = 2; ok; key.nth++ {
				out, done[callOf(s)] = append(out, s), true
				s, ok = observed[key]
			}
			if key.nth > 2 {
				continue
			}
			out = append(out, unobserved(e, g.Without, taken, reach[e.Callee] || e.Kind == ktrace.Tracepoint, unseen, lost))
		}
	}
	for _, s := range order {
		if key := callOf(s); !done[key] {
			done[key] = true
			out = append(out, s)
		}
	}
	return out
}

// rank orders verdicts by what they say: a finding counts for most, and what
// was seen for more than what is excused or was not seen at all.
func rank(v ktrace.Verdict) int {
	return slices.Index([]ktrace.Verdict{ktrace.NotTaken, ktrace.NotObservable, ktrace.Inconclusive, ktrace.Inlined, ktrace.TailCall,
		ktrace.Renamed, ktrace.Seen, ktrace.Undocumented, ktrace.Contradicted}, v)
}

// best is what the chains say of each edge: a finding counts for most, and
// what was seen for more than what is excused.
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

// reaches finds the functions from which a documented way leads to a
// tracepoint: only what lies on such a way can be on a chain.
func reaches(paths []*ktrace.Path) map[string]bool {
	reach := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, p := range paths {
			for _, e := range p.Edges {
				if (e.Kind == ktrace.Tracepoint || reach[e.Callee]) && !reach[e.Caller] {
					reach[e.Caller], changed = true, true
				}
			}
		}
	}
	return reach
}

func unobserved(e ktrace.Edge, without []string, taken map[string]bool, reach bool, unseen string, lost uint64) Step {
	s := Step{Edge: e}
	switch {
	case e.Branch != "" && slices.Contains(without, e.Branch):
		s.Verdict, s.Evidence = ktrace.NotTaken, fmt.Sprintf("branch %s", e.Branch)
	case reach && lost > 0:
		s.Verdict, s.Evidence = ktrace.Inconclusive, fmt.Sprintf("%d records were lost", lost)
	case reach:
		s.Verdict, s.Evidence = ktrace.NotTaken, "no chain came this way"
	case e.Branch != "" && !taken[e.Branch]:
		s.Verdict, s.Evidence = ktrace.NotObservable, fmt.Sprintf("branch %s, and %s", e.Branch, unseen)
	default:
		s.Verdict, s.Evidence = ktrace.NotObservable, unseen
	}
	return s
}
