//go:build linux

// Command catalogcheck proves the catalogue of kernel paths against kernel
// source trees: every call that it documents for a version has to be in that
// version's source, in the body of the caller, in the named file, on the line
// that the catalogue gives; none that it says is gone or not there yet may be;
// and no waiting or waking function that a documented function calls may be
// left out without a reason.
//
//	go run ./internal/catalogcheck [-packages] [-write] [-all] [VERSION=DIRECTORY ...]
//
// -packages fetches Debian's kernel source packages into the cache,
// $XDG_CACHE_HOME/efd, and checks them; trees on the command line are checked
// too. Without both it checks the trees that the cache holds. -write puts the
// proofs into internal/ktrace/catalog/data/proved.txt, which is not edited by
// hand.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

func main() {
	c := checker{out: os.Stdout, data: filepath.Join("internal", "ktrace", "catalog", "data")}
	packages := flag.Bool("packages", false, "fetch Debian's kernel source packages and check them")
	flag.BoolVar(&c.write, "write", false, "write what was proved to proved.txt")
	flag.BoolVar(&c.all, "all", false, "show every finding instead of ending with the first tree that has one")
	flag.StringVar(&c.data, "catalog", c.data, "the catalogue's `DIR`")
	flag.Parse()
	if err := run(&c, *packages, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "catalogcheck:", err)
		os.Exit(1)
	}
}

func run(c *checker, packages bool, args []string) error {
	if err := c.load(); err != nil {
		return err
	}
	sources, err := given(args)
	if err != nil {
		return err
	}
	if packages {
		got, err := fetchPackages(c.files())
		if err != nil {
			return err
		}
		sources = append(sources, got...)
	} else if len(args) == 0 {
		if sources, err = cached(); err != nil {
			return err
		}
	}
	sort.Slice(sources, func(i, j int) bool { return sources[i].version.Compare(sources[j].version) < 0 })
	return c.check(sources)
}

// source is a tree to check and its description.
type source struct {
	version ktrace.Version
	dir     string
	what    string
}

// checker holds the catalogue against trees.
type checker struct {
	out        io.Writer
	data       string
	write, all bool
	catalog    *catalog.Catalog
	leftOut    map[call]string
	named      []catalog.Named           // functions of frames.txt that no path has
	proofs     map[string]map[string]int // id of a call -> tree -> line
}

func (c *checker) load() error {
	var err error
	if c.catalog, err = catalog.Load(os.DirFS(c.data)); err != nil {
		return err
	}
	if err := c.catalog.Check(); err != nil {
		return err
	}
	m, err := catalog.LoadModel(os.DirFS(c.data))
	if err != nil {
		return err
	}
	c.named = c.catalog.OffPath(m)
	c.proofs = map[string]map[string]int{}
	c.leftOut, err = readLeftOut(filepath.Join(c.data, "left-out.txt"))
	return err
}

// check proves the trees one by one, and ends with the first that has a
// finding.
func (c *checker) check(sources []source) error {
	proved, findings := 0, 0
	for _, s := range sources {
		n, bad := c.tree(s)
		proved += n
		findings += bad
		if bad > 0 && !c.all {
			return fmt.Errorf("%s: %s", s.version, plural(bad, "finding"))
		}
	}
	fmt.Fprintf(c.out, "%s, %d edges proved\n", plural(len(sources), "tree"), proved)
	for _, n := range c.nowhere() {
		findings++
		fmt.Fprintln(c.out, n)
	}
	if findings > 0 {
		return fmt.Errorf("%s", plural(findings, "finding"))
	}
	if c.write {
		return c.writeProved(sources)
	}
	return nil
}

// tree proves the claims of the catalogue about one tree, and returns the
// number of edges proved and of findings.
func (c *checker) tree(s source) (proved, findings int) {
	name := s.version.String()
	find := func(cl catalog.Claim, format string, a ...any) {
		findings++
		fmt.Fprintf(c.out, "%s: %s: %s -> %s: %s\n", name, cl.Where, cl.Caller, cl.Callee, fmt.Sprintf(format, a...))
	}
	present, absent := c.catalog.Claims(s.version)
	t := newTree(s.dir)
	recorded := c.recorded(s.version)
	for _, cl := range present {
		n, err := t.prove(cl)
		if err != nil {
			find(cl, "%v", err)
			continue
		}
		if at := recorded(cl.ID); at != 0 && at != n && !c.write {
			find(cl, "is on line %d of %s, and the catalogue says %d", n, cl.File, at)
			continue
		}
		proved++
		c.proved(cl.ID, name, n)
	}
	c.functions(t, name)
	for _, cl := range absent {
		if n, err := t.prove(cl); err == nil {
			find(cl, "is there (%s:%d), and the catalogue says it is not", cl.File, n)
		}
	}
	for _, m := range t.missing(present, c.leftOut) {
		findings++
		fmt.Fprintf(c.out, "%s: %s calls %s, and neither a path nor left-out.txt has it\n", name, m.caller, m.callee)
	}
	fmt.Fprintf(c.out, "%-9s %4d of %d edges proved, %d proved absent  %s\n", name, proved, len(present), len(absent), s.what)
	return proved, findings
}

// recorded is the lines that proved.txt has of a tree.
func (c *checker) recorded(v ktrace.Version) func(id string) int {
	for _, t := range c.catalog.Trees() {
		if t.Version == v {
			return func(id string) int { return c.catalog.Line(t, id) }
		}
	}
	return func(string) int { return 0 }
}

// files are the files that the check reads of a tree.
func (c *checker) files() map[string]bool {
	out := map[string]bool{"fs/eventfd.c": true}
	for _, f := range c.catalog.Files() {
		out[f] = true
	}
	for _, n := range c.named {
		for _, f := range n.Files {
			out[f] = true
		}
	}
	for _, names := range tables {
		for _, n := range names {
			out[n] = true
		}
	}
	return out
}

// given reads the trees on the command line.
func given(args []string) ([]source, error) {
	var out []source
	for _, a := range args {
		name, dir, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want VERSION=DIRECTORY, such as 6.6=/usr/src/linux-6.6", a)
		}
		s, err := open(name, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// cached lists the trees in the cache.
func cached() ([]source, error) {
	root := filepath.Join(cache(), "trees")
	dirs, _ := filepath.Glob(filepath.Join(root, "*"))
	var out []source
	for _, d := range dirs {
		s, err := open(filepath.Base(d), d)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no source trees in %s: -packages fetches some, or name one as VERSION=DIRECTORY", root)
	}
	return out, nil
}

func open(name, dir string) (source, error) {
	v, err := ktrace.ParseVersion(name)
	if err != nil {
		return source{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, "fs", "eventfd.c")); err != nil {
		return source{}, fmt.Errorf("%s is no kernel source tree: %v", dir, err)
	}
	what := "source tree"
	if b, err := os.ReadFile(filepath.Join(dir, ".what")); err == nil {
		what = strings.TrimSpace(string(b))
	}
	return source{v, dir, what}, nil
}

// cache is where source trees are kept between runs.
func cache() string {
	d, err := os.UserCacheDir()
	if err != nil {
		d = os.TempDir()
	}
	return filepath.Join(d, "efd")
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
