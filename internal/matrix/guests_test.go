//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz)\w*)\(`)

// Each test that inGuests names is there: a test that was renamed would run in
// guests that cannot run it, or in none.
func TestGuestsRunTestsThatExist(t *testing.T) {
	for pkg, s := range inGuests {
		files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range testFunc.FindAllSubmatch(b, -1) {
				names = append(names, string(m[1]))
			}
		}
		if s == none {
			continue
		}
		for _, list := range []string{s.run, s.skip} {
			for name := range strings.SplitSeq(strings.Trim(list, "^()$"), "|") {
				if name == "" {
					continue
				}
				re := regexp.MustCompile("^" + name + "$")
				if !slices.ContainsFunc(names, re.MatchString) {
					t.Errorf("%s has no test %s", pkg, name)
				}
			}
		}
	}
}
