//go:build linux

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A small module: the command c uses b, which uses a; the tests of d use a.
var module = []pkg{
	{ImportPath: "m", Dir: "/m"},
	{ImportPath: "m/a", Dir: "/m/a"},
	{ImportPath: "m/b", Dir: "/m/b", Imports: []string{"fmt", "m/a"}},
	{ImportPath: "m/c", Dir: "/m/c", Imports: []string{"m/b"}},
	{ImportPath: "m/d", Dir: "/m/d", XTestImports: []string{"m/a"}},
}

func TestHolders(t *testing.T) {
	for file, want := range map[string][]string{
		"a/x.go":              {"m/a"},
		"a/testdata/deep/log": {"m/a"},
		"README.md":           nil,
		"m.go":                {"m"},
		"testdata/x":          {"m"},
		"docs/page.md":        nil,
	} {
		if d := cmp.Diff(want, holders(module, "/m", []string{file}), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s belongs to (-want +got):\n%s", file, d)
		}
	}
}

func TestImporters(t *testing.T) {
	for _, c := range []struct {
		of        string
		near, far []string
	}{
		{"m/a", []string{"m/a", "m/b", "m/d"}, []string{"m/a", "m/b", "m/c", "m/d"}},
		{"m/b", []string{"m/b", "m/c"}, []string{"m/b", "m/c"}},
		{"m/d", []string{"m/d"}, []string{"m/d"}},
	} {
		if d := cmp.Diff(c.near, importers(module, []string{c.of}, false), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: near (-want +got):\n%s", c.of, d)
		}
		if d := cmp.Diff(c.far, importers(module, []string{c.of}, true), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: far (-want +got):\n%s", c.of, d)
		}
	}
}
