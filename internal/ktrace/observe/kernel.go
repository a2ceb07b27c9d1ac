//go:build linux

package observe

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Catalog is where documented paths come from.
type Catalog interface {
	Path(name string, v ktrace.Version, syms ktrace.SymbolSet) (*ktrace.Path, error)
}

// Kernel is the kernel that produced the events, with its documentation.
type Kernel struct {
	Release string // as uname -r prints it
	Arch    string // as GOARCH has it
	Version ktrace.Version
	Symbols ktrace.SymbolSet // nil: not known
	Catalog Catalog
	Text    ktrace.TextProof // nil: its machine code cannot be read

	mu      sync.Mutex
	docs    map[string]*match.Doc
	matched map[matchKey]*match.Chain
	frames  int // of the chains in matched

	functions []string // documented ones, nil if they were not asked for yet
}

// Doubt says why this kernel may differ from its documented paths without an
// error on either side: none of its age was reviewed. It is "" for others.
func (k *Kernel) Doubt() string {
	c, ok := k.Catalog.(interface{ Trees() []catalog.Tree })
	if !ok {
		return ""
	}
	trees := c.Trees()
	if len(trees) == 0 {
		return "no kernel was reviewed"
	}
	oldest, newest := trees[0].Version, trees[len(trees)-1].Version
	switch {
	case k.Version.Series() == oldest.Series() || k.Version.Series() == newest.Series():
		return ""
	case k.Version.Compare(oldest) < 0:
		return fmt.Sprintf("kernel %s is older than the oldest that was reviewed, %s", k.Version, oldest)
	case k.Version.Compare(newest) > 0:
		return fmt.Sprintf("kernel %s is newer than the newest that was reviewed, %s", k.Version, newest)
	}
	return ""
}

// Path returns a documented path as it holds for this kernel.
func (k *Kernel) Path(name string) (*ktrace.Path, error) {
	return k.Catalog.Path(name, k.Version, k.Symbols)
}

// Paths returns those of the named paths that the catalogue has.
func (k *Kernel) Paths(names ...string) []*ktrace.Path {
	var out []*ktrace.Path
	for _, n := range names {
		if p, err := k.Path(n); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Doc returns the union of the named paths less the branches; the first one's
// roots are the starts. A name that the catalogue does not have adds nothing.
func (k *Kernel) Doc(names, without []string) *match.Doc {
	key := strings.Join(names, " ") + "-" + strings.Join(without, " ")
	k.mu.Lock()
	defer k.mu.Unlock()
	if d, ok := k.docs[key]; ok {
		return d
	}
	paths := builtFor(k.Arch, k.Paths(names...))
	var d *match.Doc
	if len(paths) > 0 {
		d = match.NewDoc(k.Symbols, append(otherArchs(k.Arch), without...), paths[0], paths[1:]...).WithText(k.Text).WithDoubt(k.Doubt())
	}
	if k.docs == nil {
		k.docs = map[string]*match.Doc{}
	}
	k.docs[key] = d
	return d
}

// builtFor leaves out compiler effects that were observed in builds for other
// architectures.
func builtFor(arch string, paths []*ktrace.Path) []*ktrace.Path {
	machine := catalog.DefaultModel().Arch(arch).Branch
	out := make([]*ktrace.Path, len(paths))
	for i, p := range paths {
		c := *p
		c.Edges = slices.Clone(p.Edges)
		for j := range c.Edges {
			e := &c.Edges[j]
			e.Tail, e.Inlined = e.Tail.On(machine), e.Inlined.On(machine)
		}
		out[i] = &c
	}
	return out
}

// otherArchs are the branches that only other architectures take.
func otherArchs(arch string) []string { return catalog.DefaultModel().Others(arch) }

// Forget drops the verdicts that were derived from the kernel's code, after more
// of it became known.
func (k *Kernel) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.docs, k.matched = nil, nil
}
