//go:build linux

package ksym

import (
	"fmt"
	"slices"
	"strings"
)

// CallSites returns a filter on a tracepoint's field call_site that accepts
// direct calls by one of the functions, under any name that it has in this
// kernel. It is "" if the kernel has none of them.
func (t *Table) CallSites(functions ...string) string {
	var terms []string
	for _, name := range functions {
		for _, v := range t.Variants(name) {
			from, to, ok := t.Range(v)
			// A call returns to the next instruction, at the function's end if
			// it is its last.
			term := fmt.Sprintf("(call_site>%#x&&call_site<=%#x)", from, to)
			if ok && !slices.Contains(terms, term) {
				terms = append(terms, term)
			}
		}
	}
	return strings.Join(terms, "||")
}
