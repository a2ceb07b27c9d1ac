//go:build linux

// Package order sorts for the library. The generic functions of package slices
// are compiled anew for each type of element in each package that calls one,
// some ten functions for a sort, and every first build of the library waits for
// that. These are compiled once, or are a few lines.
package order

import (
	"sort"
)

// Strings sorts s. It is not inlined: package sort's would be, down to the
// generic function.
//
//go:noinline
func Strings(s []string) { sort.Strings(s) }

// Ints sorts s.
//
//go:noinline
func Ints(s []int) { sort.Ints(s) }

// Unique sorts s and returns it with each string once.
func Unique(s []string) []string {
	Strings(s)
	n := 0
	for i := range s {
		if i == 0 || s[i] != s[n-1] {
			s[n] = s[i]
			n++
		}
	}
	clear(s[n:])
	return s[:n]
}

// Names returns the keys of m, sorted.
func Names[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	Strings(names)
	return names
}

// Numbers returns the keys of m, sorted.
func Numbers[V any](m map[int]V) []int {
	numbers := make([]int, 0, len(m))
	for n := range m {
		numbers = append(numbers, n)
	}
	Ints(numbers)
	return numbers
}
