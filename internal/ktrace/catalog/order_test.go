//go:build linux

package catalog

import (
	"slices"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// TestOrder: in every path of every reviewed kernel the calls of a function
// stand in the order of their lines.
func TestOrder(t *testing.T) {
	c := Default()
	for _, tree := range c.Trees() {
		for _, name := range c.Names() {
			p, err := c.Path(name, tree.Version, nil)
			if err != nil {
				t.Fatal(err)
			}
			last := map[string]*ktrace.Edge{}
			for i := range p.Edges {
				e := &p.Edges[i]
				if e.Line == 0 {
					continue
				}
				if before := last[e.Caller+e.File]; before != nil && before.Line > e.Line {
					t.Errorf("%s on %s: %s calls %s in line %d after %s in line %d", name, tree.Version, e.Caller, e.Callee, e.Line, before.Callee, before.Line)
				}
				last[e.Caller+e.File] = e
			}
		}
	}
	p, err := c.Path("epoll_ctl", ktrace.Version{Major: 5, Minor: 4}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var callees []string
	for _, e := range p.Edges {
		callees = append(callees, e.Callee)
	}
	for _, pair := range [][2]string{{"ep_find", "ep_modify"}, {"init_poll_funcptr", "ep_item_poll"}, {"ep_item_poll", "reverse_path_check"}} {
		if i, j := slices.Index(callees, pair[0]), slices.Index(callees, pair[1]); i < 0 || j < 0 || i > j {
			t.Errorf("5.4 epoll_ctl: %s is call %d, %s call %d", pair[0], i, pair[1], j)
		}
	}
}
