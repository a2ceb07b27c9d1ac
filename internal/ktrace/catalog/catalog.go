//go:build linux

// Package catalog has the documented kernel paths: which function calls which
// between a system call and the task that it wakes, for every kernel version
// from 4.19 on. The paths are text files (data/README.md has their form),
// embedded in the program and replaceable by a directory.
package catalog

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/efd-go/efd/internal/ktrace"
)

//go:embed data
var embedded embed.FS

var defaultCatalog struct {
	once sync.Once
	c    *Catalog
}

// Default returns the embedded catalogue, read when it is first asked for. It
// is a function, and nothing in the package is computed at start, so that a
// program that imports the package and never calls it is linked without it.
func Default() *Catalog {
	defaultCatalog.once.Do(func() {
		var err error
		if defaultCatalog.c, err = Load(Data()); err != nil {
			panic("embedded catalogue: " + err.Error()) // a test loads it
		}
	})
	return defaultCatalog.c
}

// Data is the embedded catalogue as files.
func Data() fs.FS {
	sub, err := fs.Sub(embedded, "data")
	if err != nil {
		panic(err) // the name is a right one
	}
	return sub
}

// Catalog is a set of documented paths. Its methods may be called from many
// goroutines.
type Catalog struct {
	names   []string
	paths   map[string]*document
	parts   map[string]*document
	funcs   map[string]ktrace.Function
	changes map[string]*Change
	order   []*Change
	builds  map[call]build
	trees   []Tree
	proofs  map[string]string // id of a call -> its lines, as proved.txt has them
	cache   cache
}

type call struct{ caller, callee string }

type lookup struct {
	name string
	v    ktrace.Version
	syms ktrace.SymbolSet
}

// cache holds the paths that were asked for. A sync.Map would be compiled once
// more in each package that sees a Catalog.
type cache struct {
	mu    sync.RWMutex
	paths map[lookup]*ktrace.Path
}

func (c *cache) get(key lookup) *ktrace.Path {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.paths[key]
}

func (c *cache) put(key lookup, p *ktrace.Path) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paths == nil {
		c.paths = map[lookup]*ktrace.Path{}
	}
	c.paths[key] = p
}

// Names returns the names of the paths, in the order in which a reader meets
// them: the calls, the wakes, the sources, sleeping and waking.
func (c *Catalog) Names() []string { return slices.Clone(c.names) }

// Trees returns the reviewed kernel trees, oldest first.
func (c *Catalog) Trees() []Tree { return slices.Clone(c.trees) }

// Path returns the path as it holds for kernel v. Where syms is not nil and
// knows the kernel's functions, they choose between variants that a stable or
// vendor kernel may have taken over from a later one. The result is shared:
// it is not to be changed.
func (c *Catalog) Path(name string, v ktrace.Version, syms ktrace.SymbolSet) (*ktrace.Path, error) {
	key := lookup{name, v, syms}
	if p := c.cache.get(key); p != nil {
		return p, nil
	}
	d := c.paths[name]
	if d == nil {
		return nil, fmt.Errorf("no path %q; there are: %s", name, strings.Join(c.names, " "))
	}
	if syms != nil && len(syms.Variants("try_to_wake_up")) == 0 {
		syms = nil // no symbol is known here at all
	}
	p := c.resolve(d, v, syms)
	inOrder(p.Edges)
	c.cache.put(key, p)
	return p, nil
}
