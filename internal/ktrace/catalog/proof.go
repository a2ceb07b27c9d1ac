//go:build linux

package catalog

import (
	"fmt"
	"hash/fnv"
	"sort"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// Tree is a kernel source tree against which the calls were proved.
type Tree struct {
	Version ktrace.Version
	Source  string // what it is, such as "Debian linux-source-6.1 6.1.192-2"
	column  int    // its place in the lines of proved.txt
}

// build says what a compiler made of a call in builds that were looked at.
type build struct{ tail, inlined ktrace.Builds }

// id is all that a proof is about: where it changes, the edge is to be proved
// again.
func (e *edge) id() string {
	s := e.Caller + " " + e.Callee + " " + e.File
	if e.Kind == ktrace.Pointer {
		s += " " + e.Pointer + " " + e.SetBy + " " + e.setIn
	}
	return s
}

// readProved reads what catalog-check wrote: "tree VERSION SOURCE" for each
// tree, then for each edge its id and below it its line in each tree, as the difference
// from that in the tree before.
func (c *Catalog) readProved(lines []line) error {
	for _, l := range lines {
		key, rest := word(l.text)
		switch key {
		case "tree":
			name, source := word(rest)
			v, err := ktrace.ParseVersion(name)
			if err != nil {
				return fmt.Errorf("%s: %v", l.where, err)
			}
			c.trees = append(c.trees, Tree{Version: v, Source: source, column: len(c.trees)})
		default:
			c.proofs[l.text] = l.more
		}
	}
	sort.Slice(c.trees, func(i, j int) bool { return c.trees[i].Version.Compare(c.trees[j].Version) < 0 })
	return nil
}

// Sum is what stands behind the lines of a proved call, to show an edit by
// hand.
func Sum(id, lines string) string {
	h := fnv.New32a()
	h.Write([]byte(id + "\n" + lines))
	sum := h.Sum32()
	return fmt.Sprintf("%04x", (sum^sum>>16)&0xffff)
}

// CheckSums returns the proofs that were edited by hand.
func (c *Catalog) CheckSums() (bad []string) {
	for id, text := range c.proofs {
		lines, sum, _ := strings.Cut(text, " sum=")
		if Sum(id, lines) != sum {
			bad = append(bad, id)
		}
	}
	return bad
}

// lineIn is where a tree has a call, 0 where it was not proved there.
func (c *Catalog) lineIn(t *Tree, id string) int {
	column, line := 0, 0
	for f := range strings.FieldsSeq(c.proofs[id]) {
		d, err := strconv.Atoi(f)
		switch {
		case column == t.column && err == nil:
			return line + d
		case column == t.column:
			return 0
		}
		column, line = column+1, line+d
	}
	return 0
}

// treeOf is the reviewed tree that answers for v with its line numbers: v
// itself, or for a bare series the earliest tree of it.
func (c *Catalog) treeOf(v ktrace.Version) *Tree {
	for i := range c.trees {
		if t := &c.trees[i]; t.Version == v || v.Patch == 0 && v.RC == 0 && t.Version.Series() == v.Series() {
			return t
		}
	}
	return nil
}

// linesFor is the tree whose line numbers a path for v gives: treeOf, or else
// the nearest reviewed one of v's series.
func (c *Catalog) linesFor(v ktrace.Version) *Tree {
	best := c.treeOf(v)
	if best != nil {
		return best
	}
	away := func(t *Tree) int { return max(t.Version.Patch-v.Patch, v.Patch-t.Version.Patch) }
	for i := range c.trees {
		if t := &c.trees[i]; t.Version.Series() == v.Series() && (best == nil || away(t) < away(best)) {
			best = t
		}
	}
	return best
}

// around are the reviewed trees next to v, nil where there is none.
func (c *Catalog) around(v ktrace.Version) (lo, hi *Tree) {
	for i := range c.trees {
		if t := &c.trees[i]; t.Version.Compare(v) <= 0 {
			lo = t
		} else if hi == nil {
			hi = t
		}
	}
	return lo, hi
}

// proved reports whether a reviewed tree beside v holds the call; any tree
// will do where the kernel's own symbols chose the variant.
func (c *Catalog) proved(id string, v ktrace.Version, bySymbol bool) bool {
	lo, hi := c.around(v)
	for _, t := range []*Tree{lo, hi} {
		if t != nil && c.lineIn(t, id) > 0 {
			return true
		}
	}
	if bySymbol {
		return c.proofs[id] != ""
	}
	return false
}

// readBuilds reads "tail CALLER CALLEE GROUND" and "inlined CALLER CALLEE
// GROUND", each ground with its machine: "x86-64: text of 6.1; chains of 6.18".
func (c *Catalog) readBuilds(lines []line) error {
	for _, l := range lines {
		how, rest := word(l.text)
		caller, rest := word(rest)
		callee, rest := word(rest)
		found := buildsOf(l.whole(rest))
		b := c.builds[call{caller, callee}]
		switch {
		case found == nil:
			return fmt.Errorf("%s: want tail|inlined CALLER CALLEE MACHINE: GROUND", l.where)
		case how == "tail":
			b.tail = found
		case how == "inlined":
			b.inlined = found
		default:
			return fmt.Errorf("%s: unknown word %q", l.where, how)
		}
		c.builds[call{caller, callee}] = b
	}
	return nil
}

// buildsOf reads a ground, nil if it names no machine.
func buildsOf(ground string) ktrace.Builds {
	out, of := ktrace.Builds{}, ""
	for part := range strings.SplitSeq(ground, "; ") {
		machine, found, named := strings.Cut(part, ": ")
		switch {
		case named:
			of, out[machine] = machine, found
		case of == "":
			return nil
		default:
			out[of] += "; " + part
		}
	}
	return out
}
