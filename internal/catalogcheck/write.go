//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

const provedHead = `# Written by catalogcheck -write, and by no hand: where each call is in the
# reviewed kernel trees. A line names a call (caller, callee, file, and for a
# pointer its expression and who sets it); below it its line in each tree, in
# their order, as the difference from that in the tree before that has it, "-"
# for none, and a sum over both; and so does "function NAME" for a function of
# frames.txt that no path has. A call that is changed in the catalogue is not
# found here and has to be proved again.
`

// writeProved writes the lines of every proved call, each with a sum that shows
// an edit by hand. The earlier proofs in trees that were not checked now stay,
// as far as the catalogue still claims them.
func (c *checker) writeProved(sources []source) error {
	type column struct {
		version ktrace.Version
		what    string
	}
	var columns []column
	now := map[ktrace.Version]bool{}
	for _, s := range sources {
		columns = append(columns, column{s.version, s.what})
		now[s.version] = true
	}
	for _, t := range c.catalog.Trees() {
		if now[t.Version] {
			continue
		}
		columns = append(columns, column{t.Version, t.Source})
		present, _ := c.catalog.Claims(t.Version)
		for _, cl := range present {
			n := c.catalog.Line(t, cl.ID)
			if n == 0 {
				fmt.Fprintf(c.out, "not proved: %s: %s -> %s is new, and the tree is not here\n", t.Version, cl.Caller, cl.Callee)
				continue
			}
			c.proved(cl.ID, t.Version.String(), n)
		}
		c.keep(t)
	}
	sort.Slice(columns, func(i, j int) bool { return columns[i].version.Compare(columns[j].version) < 0 })
	var b strings.Builder
	for _, col := range columns {
		fmt.Fprintf(&b, "tree %s %s\n", col.version, col.what)
	}
	ids := c.catalog.IDs()
	for i := range c.named {
		ids = append(ids, c.named[i].ID())
	}
	for _, id := range ids {
		at := c.proofs[id]
		if len(at) == 0 {
			continue
		}
		var cells []string
		last := 0
		for _, col := range columns {
			cell := "-"
			if n := at[col.version.String()]; n > 0 {
				cell, last = strconv.Itoa(n-last), n
			}
			cells = append(cells, cell)
		}
		lines := strings.Join(cells, " ")
		fmt.Fprintf(&b, "%s\n  %s sum=%s\n", id, lines, catalog.Sum(id, lines))
	}
	return os.WriteFile(filepath.Join(c.data, "proved.txt"), []byte(provedHead+b.String()), 0o644)
}

// readLeftOut reads the calls that are left out on purpose, with the reason.
func readLeftOut(file string) (map[call]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	out := map[call]string{}
	for i, l := range strings.Split(string(b), "\n") {
		if l == "" || l[0] == '#' {
			continue
		}
		w := strings.Fields(l)
		if len(w) < 3 {
			return nil, fmt.Errorf("%s:%d: want CALLER CALLEE REASON", file, i+1)
		}
		out[call{w[0], w[1]}] = strings.Join(w[2:], " ")
	}
	return out, nil
}
