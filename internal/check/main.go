//go:build linux

// Command check is for the minute between two edits. It runs gofmt and go vet
// on the packages that have changed since the branch left main, or since the
// given commit, and the short tests of these packages and of those that import
// one of them. Packages further away, and those whose tests take long, are
// vetted alone.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// endToEnd are the packages whose tests run programs and take long: they are
// tested if they have changed themselves.
var endToEnd = []string{"/cmd/efdtrace", "/internal/scenario/lab"}

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

// check checks the changes since the commit that args name, or since the branch
// left main.
func check(args []string) error {
	base := "HEAD"
	if len(args) > 0 {
		base = args[0]
	} else if at, err := output("git", "merge-base", "HEAD", "main"); err == nil {
		base = strings.TrimSpace(at)
	}
	files, err := changed(base)
	if err != nil {
		return err
	}
	if err := formatted(files); err != nil {
		return err
	}
	list, err := output("go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports", "./...")
	if err != nil {
		return err
	}
	pkgs, err := parse(list)
	if err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	own := holders(pkgs, root, files)
	near, all := importers(pkgs, own, false), importers(pkgs, own, true)
	near = slices.DeleteFunc(near, func(p string) bool {
		return slices.ContainsFunc(endToEnd, func(e string) bool { return strings.HasSuffix(p, e) }) && !slices.Contains(own, p)
	})
	fmt.Printf("%d files have changed, of %d packages: %d are tested, %d vetted\n", len(files), len(own), len(near), len(all))
	if len(all) == 0 {
		return nil
	}
	if err := run("go", append([]string{"vet"}, all...)...); err != nil {
		return err
	}
	return run("go", append([]string{"run", "./internal/testsum", "-short", "-timeout=2m"}, near...)...)
}

// changed lists the files that differ from a commit, and those that git does
// not know.
func changed(base string) ([]string, error) {
	diff, err := output("git", "diff", "--name-only", "--relative", base)
	if err != nil {
		return nil, err
	}
	untracked, err := output("git", "ls-files", "--others", "--exclude-standard")
	if err != nil {
		return nil, err
	}
	files := strings.Fields(diff + untracked)
	slices.Sort(files)
	return slices.Compact(files), nil
}

func formatted(files []string) error {
	var sources []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil && strings.HasSuffix(f, ".go") {
			sources = append(sources, f)
		}
	}
	if len(sources) == 0 {
		return nil
	}
	out, err := output("gofmt", append([]string{"-l"}, sources...)...)
	if err == nil && out != "" {
		err = fmt.Errorf("gofmt would change\n%s", strings.TrimRight(out, "\n"))
	}
	return err
}

type pkg struct {
	ImportPath, Dir                    string
	Imports, TestImports, XTestImports []string
}

func parse(list string) (pkgs []pkg, err error) {
	for dec := json.NewDecoder(strings.NewReader(list)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		pkgs = append(pkgs, p)
	}
}

// holders are the packages that the files belong to, each to the one in the
// directory nearest above it.
func holders(pkgs []pkg, root string, files []string) []string {
	byDir := map[string]string{}
	for _, p := range pkgs {
		byDir[p.Dir] = p.ImportPath
	}
	var own []string
	for _, f := range files {
		for dir := filepath.Dir(filepath.Join(root, f)); len(dir) >= len(root); dir = filepath.Dir(dir) {
			// A page at the top is no part of the package there.
			if p := byDir[dir]; p != "" && (dir != root || strings.HasSuffix(f, ".go") || strings.Contains(f, "testdata/")) {
				own = append(own, p)
				break
			}
		}
	}
	slices.Sort(own)
	return slices.Compact(own)
}

// importers adds to packages those that import one of them; far: and those that
// import these, and so on. A package whose tests alone import one ends such a
// chain.
func importers(pkgs []pkg, of []string, far bool) []string {
	in := map[string]bool{}
	for _, p := range of {
		in[p] = true
	}
	isIn := func(i string) bool { return in[i] }
	for grown := far; grown; {
		grown = false
		for _, p := range pkgs {
			if !in[p.ImportPath] && slices.ContainsFunc(p.Imports, isIn) {
				in[p.ImportPath], grown = true, true
			}
		}
	}
	var all []string
	for _, p := range pkgs {
		if in[p.ImportPath] || slices.ContainsFunc(slices.Concat(p.Imports, p.TestImports, p.XTestImports), isIn) {
			all = append(all, p.ImportPath)
		}
	}
	return all
}

func output(name string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), err
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return nil
}
