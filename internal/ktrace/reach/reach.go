//go:build linux

// Package reach says how much of a documented path a call went through, by how
// it ended.
package reach

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Test reports whether a call took an edge of a path.
type Test func(*ktrace.Edge) bool

// Failed are the edges that a call came to that failed with errno, by its name:
// if the path does not say how far that is, the way to the system call's own
// function alone.
func Failed(p *ktrace.Path, call, errno string) []ktrace.Edge {
	on := Entered(p, call, func(*ktrace.Edge) bool { return true })
	on, known := Ways(p, []string{errno}, on)
	if !known {
		on = Only(p, nil, on)
	}
	var out []ktrace.Edge
	for i := range p.Edges {
		if on(&p.Edges[i]) {
			out = append(out, p.Edges[i])
		}
	}
	return out
}

// Ways limits a test to the edges of the named ways of p, and reports whether
// one of those that p has is an errno's.
func Ways(p *ktrace.Path, names []string, on Test) (_ Test, known bool) {
	for i := range p.Ways {
		w := &p.Ways[i]
		if !slices.Contains(names, w.Name) {
			continue
		}
		if known = known || IsErrno(w.Name); w.Limited {
			on = Only(p, w.Only, on)
		} else if len(w.Without) > 0 {
			on = Without(w.Without, on)
		}
	}
	return on, known
}

// Entered leaves out the entries of other system calls than the one that was
// made, if the path has its own.
func Entered(p *ktrace.Path, call string, on Test) Test {
	name := strings.TrimSuffix(call, "_time64")
	mine := func(f string) bool { return isEntry(f) && strings.HasSuffix(f, "_sys_"+name) }
	if !slices.ContainsFunc(p.Edges, func(e ktrace.Edge) bool { return mine(e.Callee) }) {
		return on
	}
	other := func(f string) bool { return isEntry(f) && !mine(f) }
	return func(e *ktrace.Edge) bool { return on(e) && !other(e.Callee) && !other(e.Caller) }
}

// IsErrno reports whether a way is named after how a call failed.
func IsErrno(way string) bool { return way[0] == 'E' }

func isEntry(function string) bool {
	return catalog.DefaultModel().InTable(function) != ""
}

// Only leaves the edges to the named functions and those on the way to them.
func Only(p *ktrace.Path, names []string, on Test) Test {
	reached, below := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		name, all := strings.CutSuffix(name, "*")
		reached[name] = true
		if all {
			below[name] = true
		}
	}
	for grew := true; grew; {
		grew = false
		for i := range p.Edges {
			e := &p.Edges[i]
			if !on(e) {
				continue
			}
			if (reached[e.Callee] || isEntry(e.Callee)) && !reached[e.Caller] {
				reached[e.Caller], grew = true, true
			}
			if below[e.Caller] && !below[e.Callee] {
				below[e.Callee], grew = true, true
			}
		}
	}
	return func(e *ktrace.Edge) bool {
		return on(e) && (reached[e.Callee] || isEntry(e.Callee) || below[e.Caller])
	}
}

// Without leaves out the named functions and their callees.
func Without(names []string, on Test) Test {
	return func(e *ktrace.Edge) bool {
		return on(e) && !slices.Contains(names, e.Callee) && !slices.Contains(names, e.Caller)
	}
}
