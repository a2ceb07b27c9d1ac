// Command catalogcheck proves the catalogue of kernel paths against kernel
// source trees: every call that it documents for a version has to be in that
// version's source, in the body of the caller, in the named file; and none
// that it says is gone or not there yet.
//
//	go run ./internal/catalogcheck [-write] [VERSION=DIRECTORY ...]
//
// Without trees on the command line it takes those in the cache
// ($XDG_CACHE_HOME/efd/trees, a directory for each version). -write puts what
// was proved into internal/ktrace/catalog/data/proved.txt: no other hand does.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

func main() {
	write := flag.Bool("write", false, "write proved.txt")
	all := flag.Bool("all", false, "show every finding instead of ending at the first tree that has one")
	flag.Parse()
	if err := run(flag.Args(), *write, *all); err != nil {
		fmt.Fprintln(os.Stderr, "catalogcheck:", err)
		os.Exit(1)
	}
}

// source is a tree to check and what it is.
type source struct {
	version ktrace.Version
	dir     string
	what    string
}

func run(args []string, write, all bool) error {
	sources, err := find(args)
	if err != nil {
		return err
	}
	data := filepath.Join("internal", "ktrace", "catalog", "data")
	c, err := catalog.Load(os.DirFS(data))
	if err != nil {
		return err
	}
	proofs := map[string]map[string]int{} // id -> tree -> line
	total, bad := 0, 0
	for _, s := range sources {
		present, absent := c.Claims(s.version)
		t := newTree(s.dir)
		failed := 0
		for _, cl := range present {
			n, err := t.prove(cl)
			if err != nil {
				failed++
				fmt.Printf("%s: %s: %s -> %s: %v\n", s.version, cl.Where, cl.Caller, cl.Callee, err)
				continue
			}
			if proofs[cl.ID] == nil {
				proofs[cl.ID] = map[string]int{}
			}
			proofs[cl.ID][s.version.String()] = n
		}
		for _, cl := range absent {
			if n, err := t.prove(cl); err == nil {
				failed++
				fmt.Printf("%s: %s: %s -> %s is there, %s:%d, and the catalogue says it is not\n", s.version, cl.Where, cl.Caller, cl.Callee, cl.File, n)
			}
		}
		fmt.Printf("%-9s %4d of %d edges proved, %d more proved absent (%s)\n", s.version, len(present)-failed, len(present), len(absent), s.what)
		total += len(present)
		bad += failed
		if failed > 0 && !all {
			return fmt.Errorf("%s: %d findings", s.version, failed)
		}
	}
	fmt.Printf("%d trees, %d proofs\n", len(sources), total)
	if bad > 0 {
		return fmt.Errorf("%d findings", bad)
	}
	if write {
		return writeProved(filepath.Join(data, "proved.txt"), c, sources, proofs)
	}
	return nil
}

// find lists the trees: those given, or those in the cache.
func find(args []string) ([]source, error) {
	var out []source
	add := func(name, dir string) error {
		v, err := ktrace.ParseVersion(name)
		if err != nil {
			return err
		}
		what := "source tree"
		if b, err := os.ReadFile(filepath.Join(dir, ".what")); err == nil {
			what = strings.TrimSpace(string(b))
		}
		out = append(out, source{v, dir, what})
		return nil
	}
	for _, a := range args {
		name, dir, ok := strings.Cut(a, "=")
		if !ok {
			return nil, fmt.Errorf("%q: want VERSION=DIRECTORY, such as 6.6=/usr/src/linux-6.6", a)
		}
		if err := add(name, dir); err != nil {
			return nil, err
		}
	}
	if len(args) == 0 {
		dirs, _ := filepath.Glob(filepath.Join(cache(), "trees", "*"))
		for _, d := range dirs {
			if err := add(filepath.Base(d), d); err != nil {
				return nil, err
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no source trees in %s", filepath.Join(cache(), "trees"))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].version.Compare(out[j].version) < 0 })
	return out, nil
}

// cache is where source trees are kept between runs.
func cache() string {
	d, err := os.UserCacheDir()
	if err != nil {
		d = os.TempDir()
	}
	return filepath.Join(d, "efd")
}
