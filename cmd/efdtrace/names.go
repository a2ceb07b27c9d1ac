//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// Scenarios and paths are two name spaces that share names: ppoll is in both.
// The error for a name that is only in the other one says so.

// scenarios looks up the scenarios that verify and demo run.
func scenarios(demo bool, names []string) ([]*scenario.Scenario, error) {
	for _, n := range names {
		if _, err := scenario.Find(false, n); err != nil {
			return nil, fmt.Errorf("no scenario %q%s; efdtrace verify -list names all", n, nearScenario(n))
		}
	}
	return scenario.Find(demo, names...)
}

// nearScenario suggests a meaning for an unknown scenario's name: a path, or a
// scenario with a similar name.
func nearScenario(name string) string {
	if slices.Contains(catalog.Default().Names(), name) {
		s := fmt.Sprintf(": it is a path (efdtrace path %s)", name)
		if taking := takers(name); len(taking) > 0 {
			return s + ", and scenarios that take it are " + some(taking)
		}
		if why := scenario.Untaken[name]; why != "" {
			return s + ", which no scenario takes: " + why
		}
		return s
	}
	if like := alike(scenario.Names(), name); len(like) > 0 {
		return ": near it are " + some(like)
	}
	return ""
}

// takers are the scenarios that are about a path.
func takers(path string) []string {
	var out []string
	for _, s := range scenario.All() {
		if slices.Contains(lab.Paths(s), path) {
			out = append(out, s.Name)
		}
	}
	return out
}

// nearPath suggests a meaning for an unknown path's name: a scenario, or a path
// with a similar name.
func nearPath(paths []string, name string) string {
	like := alike(paths, name)
	if found, err := scenario.Find(false, name); err == nil && len(found) == 1 {
		for _, p := range append([]string{found[0].Source}, found[0].Paths...) {
			if slices.Contains(paths, p) && !slices.Contains(like, p) {
				like = append(like, p)
			}
		}
		return fmt.Sprintf(": it is a scenario (efdtrace verify %s), whose paths are %s", name, strings.Join(like, " "))
	}
	if len(like) == 0 {
		return ""
	}
	return ": near it are " + strings.Join(like, " ")
}

// alike are the names that contain one, or else begin as it does.
func alike(names []string, name string) []string {
	if name == "" {
		return nil
	}
	with := func(fits func(string) bool) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !fits(n) })
	}
	like := with(func(n string) bool { return strings.Contains(n, name) })
	for start := name; len(like) == 0 && len(start) > 3; start = start[:len(start)-1] {
		like = with(func(n string) bool { return strings.HasPrefix(n, start) })
	}
	return like
}

// some is a list that stays on a line or two.
func some(names []string) string {
	const most = 8
	if n := len(names); n > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most-1], " "), n-most+1)
	}
	return strings.Join(names, " ")
}
