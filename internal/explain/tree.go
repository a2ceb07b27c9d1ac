//go:build linux

package explain

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/reach"
)

// Taken returns a test for the edges that a call with these branches takes.
// maybe are branches that it takes only if somebody waits; the ways in which
// somebody can wait come with them.
func Taken(p *ktrace.Path, branches, maybe []string) func(e *ktrace.Edge) bool {
	on := map[string]bool{"": true, archBranch(): true}
	for _, b := range branches {
		on[b] = true
	}
	for _, b := range maybe {
		on[b] = true
		if b == "woke" {
			on["poller"], on["epoll"], on["blocked"], on["epoll-waiter"] = true, true, true, true
		}
	}
	if on["add"] || on["modify"] {
		on["event"] = true
	}
	var foreign []string // of calls on other architectures
	own := catalog.DefaultModel().Arch(arch())
	for _, prefix := range catalog.DefaultModel().TablePrefixes() {
		if prefix != own.Prefix {
			foreign = append(foreign, prefix)
		}
	}
	return func(e *ktrace.Edge) bool {
		if slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(e.Caller, prefix) }) {
			return false
		}
		if on[e.Branch] {
			return true
		}
		// An edge in several branches at once names them all.
		all := strings.FieldsFunc(e.Branch, func(r rune) bool { return r == ' ' || r == '+' || r == ',' || r == '&' })
		return len(all) > 1 && !slices.ContainsFunc(all, func(b string) bool { return !on[b] })
	}
}

// TreeOf writes as much of a path as one of its ways takes; title says when
// that is so.
func TreeOf(w io.Writer, p *ktrace.Path, way, title string) {
	taken, _ := reach.Ways(p, []string{way}, func(*ktrace.Edge) bool { return true })
	part := *p
	part.Title, part.Edges = title, nil
	for _, e := range p.Edges {
		if taken(&e) {
			part.Edges = append(part.Edges, e)
		}
	}
	Tree(w, &part)
}

// kernelOf is the kernel that a path holds for, and the tree that its lines are
// of where that is not one of this version or of the bare series.
func kernelOf(p *ktrace.Path) string {
	if p.Tree == "" || strings.HasPrefix(p.Tree+".", p.Kernel+".") {
		return p.Kernel
	}
	return p.Kernel + ", lines of " + p.Tree
}

// Tree writes a path with all its branches, each named where it begins.
func Tree(w io.Writer, p *ktrace.Path) {
	fmt.Fprintf(w, "%s on Linux %s: %s\n", p.Name, kernelOf(p), p.Title)
	other := map[string]bool{}
	for _, branch := range catalog.DefaultModel().Others(arch()) {
		other[branch] = true
	}
	var down func(depth int, n *node, branch string)
	down = func(depth int, n *node, branch string) {
		fmt.Fprint(w, strings.Repeat("  ", depth), n.name)
		if e := n.edge; e != nil {
			if e.Branch != branch && e.Branch != "" && e.Branch != archBranch() {
				branch = e.Branch
				fmt.Fprintf(w, "  [%s]", branch)
			}
			if e.Line > 0 {
				fmt.Fprintf(w, "  %s:%d", e.File, e.Line)
			}
		}
		if n.again {
			fmt.Fprint(w, "  as above")
		} else if text := p.Functions[n.name].Text; text != "" {
			fmt.Fprint(w, "  ", text)
		}
		fmt.Fprintln(w)
		for _, k := range n.kids {
			down(depth+1, k, branch)
		}
	}
	for _, r := range grow(p, func(e *ktrace.Edge) bool { return !other[e.Branch] }) {
		down(1, r, "")
	}
}

// arch is the architecture whose paths are shown.
func arch() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "amd64"
}

// archBranch is the branch by which calls come in there.
func archBranch() string { return catalog.DefaultModel().Arch(arch()).Branch }

// maxDepth bounds a tree, should a catalogue go round in circles.
const maxDepth = 40

// node is a function in the tree of a path.
type node struct {
	name  string
	edge  *ktrace.Edge // by which it was reached, nil for a root
	again bool         // its callees stand further up
	kids  []*node
}

// grow makes the trees of the taken edges, from the path's roots down.
func grow(p *ktrace.Path, taken func(*ktrace.Edge) bool) []*node {
	out := map[string][]*ktrace.Edge{}
	called := map[string]bool{}
	for i := range p.Edges {
		e := &p.Edges[i]
		if taken(e) {
			out[e.Caller] = append(out[e.Caller], e)
			called[e.Callee] = true
		}
	}
	roots := p.Roots
	if len(roots) == 0 {
		for i := range p.Edges {
			if c := p.Edges[i].Caller; !called[c] && !slices.Contains(roots, c) {
				roots = append(roots, c)
			}
		}
	}
	done := map[string]bool{}
	var down func(depth int, name string, e *ktrace.Edge) *node
	down = func(depth int, name string, e *ktrace.Edge) *node {
		n := &node{name: name, edge: e, again: done[name] && len(out[name]) > 0}
		if done[name] || depth > maxDepth {
			return n
		}
		done[name] = true
		seen := map[string]bool{}
		for _, next := range out[name] {
			if !seen[next.Callee] {
				seen[next.Callee] = true
				n.kids = append(n.kids, down(depth+1, next.Callee, next))
			}
		}
		return n
	}
	var trees []*node
	for _, r := range roots {
		if len(out[r]) > 0 && !done[r] {
			trees = append(trees, down(0, r, nil))
		}
	}
	return trees
}

// phase leaves of the trees of a path those that the call takes, or those that
// a later event takes.
func (n *Note) phase(name string, trees []*node, later bool) []*node {
	if !slices.Contains(n.Later, name) {
		return trees
	}
	return slices.DeleteFunc(trees, func(t *node) bool {
		branch := ""
		if len(t.kids) > 0 {
			branch = t.kids[0].edge.Branch
		}
		return later == (branch == "register" || branch == archBranch())
	})
}

// fresh reports whether n or anything below it has not been said.
func (n *node) fresh(said map[string]bool) bool {
	return !said[n.name] || slices.ContainsFunc(n.kids, func(k *node) bool { return k.fresh(said) })
}

// leaves are the functions in which trees end, in their order.
func leaves(trees []*node) []string {
	var out []string
	for _, n := range trees {
		if len(n.kids) == 0 {
			out = append(out, n.name)
		}
		out = append(out, leaves(n.kids)...)
	}
	return out
}

// names adds all functions of the tree to set.
func (n *node) names(set map[string]bool) {
	set[n.name] = true
	for _, k := range n.kids {
		k.names(set)
	}
}

// missing returns the topmost functions of n that are not in set.
func (n *node) missing(set map[string]bool) []string {
	if !set[n.name] {
		return []string{n.name}
	}
	var out []string
	for _, k := range n.kids {
		for _, m := range k.missing(set) {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}
