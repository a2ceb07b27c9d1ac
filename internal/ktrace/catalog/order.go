//go:build linux

package catalog

import (
	"sort"

	"github.com/efd-go/efd/internal/ktrace"
)

// inOrder sorts the calls that a function makes by their lines, which is the
// order of their execution: what paths share is written down apart from the
// rest of a function. A call without a line stays where it is.
func inOrder(edges []ktrace.Edge) {
	type body struct{ caller, file string }
	at := map[body][]int{}
	for i := range edges {
		if e := &edges[i]; e.Line > 0 {
			b := body{e.Caller, e.File}
			at[b] = append(at[b], i)
		}
	}
	for _, places := range at {
		if sort.SliceIsSorted(places, func(i, j int) bool { return edges[places[i]].Line < edges[places[j]].Line }) {
			continue
		}
		calls := make([]ktrace.Edge, len(places))
		for k, i := range places {
			calls[k] = edges[i]
		}
		sort.SliceStable(calls, func(i, j int) bool { return calls[i].Line < calls[j].Line })
		for k, i := range places {
			edges[i] = calls[k]
		}
	}
}
