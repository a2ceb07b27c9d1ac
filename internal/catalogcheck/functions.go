//go:build linux

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// functions notes the places at which a tree defines the functions that
// frames.txt names and no path has. A kernel need not have all of them.
func (c *checker) functions(t *tree, version string) {
	for _, n := range c.named {
		for _, file := range n.Files {
			if line := t.defines(file, n.Function); line > 0 {
				c.proved(n.ID(), version, line)
				break
			}
		}
	}
}

// proved records the place in a tree that proves an id.
func (c *checker) proved(id, version string, line int) {
	if c.proofs[id] == nil {
		c.proofs[id] = map[string]int{}
	}
	c.proofs[id][version] = line
}

// nowhere lists the functions that none of the trees defines, those of the
// recorded proofs among them.
func (c *checker) nowhere() (out []string) {
	for _, n := range c.named {
		recorded := slices.ContainsFunc(c.catalog.Trees(), func(t catalog.Tree) bool { return c.catalog.Line(t, n.ID()) > 0 })
		if !recorded && c.proofs[n.ID()] == nil && n.Files != nil && n.Files[0] != "-" {
			out = append(out, fmt.Sprintf("%s: %s is defined in none of %s, of no tree", n.Where, n.Function, strings.Join(n.Files, " ")))
		}
	}
	return out
}

// keep takes over the records of a tree that is not checked now.
func (c *checker) keep(t catalog.Tree) {
	for _, n := range c.named {
		if line := c.catalog.Line(t, n.ID()); line > 0 {
			c.proved(n.ID(), t.Version.String(), line)
		}
	}
}

// defines returns the line of a file that begins the definition of a function,
// of a macro, or of code under a label of the assembler; 0 if none does.
func (t *tree) defines(file, function string) int {
	name := strings.ReplaceAll(regexp.QuoteMeta(function), `\*`, `\w*`)
	src := t.file(file)
	at := regexp.MustCompile(`(?m)^(?:[ \t]*#[ \t]*define[ \t]+` + name + `\b|` + name + `:|[ \t]*[A-Z_a-z]*(?:SYM|ENTRY|entry)\w*[( ]\s*` + name + `\b|` +
		`(?:[A-Za-z_][^\n;={}]*?\b)?` + name + `\s*\([^;{}]*?\)[^;{}()]*\{)`).FindStringIndex(src)
	if at == nil {
		return 0
	}
	return lineOf(src, at[0])
}
