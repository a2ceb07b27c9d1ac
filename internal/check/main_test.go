//go:build linux

package main

import (
	"slices"
	"testing"
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
		if got := holders(module, "/m", []string{file}); !slices.Equal(got, want) {
			t.Errorf("%s belongs to %v, want %v", file, got, want)
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
		if got := importers(module, []string{c.of}, false); !slices.Equal(got, c.near) {
			t.Errorf("%s: near %v, want %v", c.of, got, c.near)
		}
		if got := importers(module, []string{c.of}, true); !slices.Equal(got, c.far) {
			t.Errorf("%s: far %v, want %v", c.of, got, c.far)
		}
	}
}
