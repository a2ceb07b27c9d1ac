//go:build linux

package catalog

import (
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/order"
)

// Claim is what the catalogue says of one call, for a checker that holds it
// against a kernel's source.
type Claim struct {
	ktrace.Edge
	ID    string
	SetIn string // the file of Edge.SetBy
	Where string // the line of the catalogue
}

// Claims returns what the catalogue claims of the kernel tree v: the calls
// that have to be in it, and those that must not be.
func (c *Catalog) Claims(v ktrace.Version) (present, absent []Claim) {
	holds := func(ch string) bool { return c.changes[ch].inVersion(v).has }
	state := map[string]int{} // 1 to be found, 2 not to be found
	all := map[string]Claim{}
	var order []string
	note := func(e *edge, n int) {
		id := e.id()
		if _, seen := all[id]; !seen {
			order = append(order, id)
			all[id] = Claim{Edge: e.Edge, ID: id, SetIn: e.setIn, Where: e.where.String()}
		}
		if state[id] != 1 {
			state[id] = n
		}
	}
	for _, n := range c.names {
		d := c.paths[n]
		edges := c.expand(d)
		hold := chosen(edges, holds)
		for _, e := range reachable(c.gather(d).roots, hold) {
			note(e, 1)
		}
		for _, e := range edges {
			// A pointer's function exists whether or not it is set here.
			if e.Kind != ktrace.Pointer && !slices.Contains(hold, e) {
				note(e, 2)
			}
		}
	}
	for _, id := range order {
		if state[id] == 1 {
			present = append(present, all[id])
		} else {
			absent = append(absent, all[id])
		}
	}
	return present, absent
}

// IDs returns the claims of all versions, each once, in the catalogue's order.
func (c *Catalog) IDs() []string {
	var out []string
	for _, n := range c.names {
		for _, e := range c.expand(c.paths[n]) {
			out = append(out, e.id())
		}
	}
	return order.Unique(out)
}

// Files are all source files that the claims of any version name.
func (c *Catalog) Files() []string {
	var out []string
	for _, n := range c.names {
		for _, e := range c.expand(c.paths[n]) {
			out = append(out, e.File)
			if e.setIn != "" {
				out = append(out, e.setIn)
			}
		}
	}
	return order.Unique(out)
}

// Line is where a reviewed tree has the call, 0 where it was not proved.
func (c *Catalog) Line(t Tree, id string) int { return c.lineIn(&t, id) }
