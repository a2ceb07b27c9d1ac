package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
)

const provedHead = `# Written by catalogcheck -write, and by no hand: where each call is in the
# reviewed kernel trees. A line names a call (caller, callee, file, and for a
# pointer its expression and who sets it); below it TREE=LINE. A call that is
# changed in the catalogue is not found here and has to be proved again.
`

// writeProved writes the lines of every proved call, and a sum over them that
// shows an edit by hand.
func writeProved(file string, c *catalog.Catalog, sources []source, proofs map[string]map[string]int) error {
	var b strings.Builder
	for _, s := range sources {
		fmt.Fprintf(&b, "tree %s %s\n", s.version, s.what)
	}
	for _, id := range c.IDs() {
		at := proofs[id]
		if len(at) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s\n ", id)
		for _, s := range sources {
			if n := at[s.version.String()]; n > 0 {
				fmt.Fprintf(&b, " %s=%d", s.version, n)
			}
		}
		b.WriteByte('\n')
	}
	sum := fmt.Sprintf("sum %x\n", sha256.Sum256([]byte(b.String())))
	return os.WriteFile(file, []byte(provedHead+sum+b.String()), 0o644)
}
