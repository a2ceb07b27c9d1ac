//go:build linux

package lab

import (
	"slices"

	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
)

// watched are the changes by their path.
func (l *Lab) watched(t *Trial) []observe.Taken {
	var names []string
	chains := map[string][]*match.Chain{}
	for _, w := range slices.Concat(t.Watched, t.Allocated) {
		if w.Chain == nil {
			continue
		}
		if chains[w.Path] == nil {
			names = append(names, w.Path)
		}
		chains[w.Path] = append(chains[w.Path], w.Chain)
	}
	var out []observe.Taken
	for _, n := range names {
		out = append(out, observe.Taken{Paths: []string{n}, Chains: chains[n]})
	}
	return out
}

// unseen is why no source shows an edge that nothing was seen of.
func (l *Lab) unseen(t *Trial) string {
	switch {
	case len(t.Watched) > 0:
		return "no tracepoint and no watched memory lies in it or below it"
	case t.lack(noWatch) != "":
		return "no tracepoint lies in it or below it, and no watchpoint: " + t.lack(noWatch)
	case l.NoWatch != nil:
		return "no tracepoint lies in it or below it, and no watchpoint: " + l.NoWatch.Error()
	}
	return "no tracepoint lies in it or below it, and no eventfd was watched"
}
