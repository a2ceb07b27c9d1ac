package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// columns are those of the table, in both of its forms.
var columns = []string{"kernel", "arch", "tests", "scenarios", "seen", "renamed", "tail call", "inlined", "not observable", "contradicted", "undocumented", "status"}

func (r *result) cells() []string {
	name := r.Kernel
	if name == "" {
		name = r.Series
	}
	if r.Status == statusSkipped || len(r.Tests)+len(r.Verify) == 0 {
		c := make([]string, len(columns))
		c[0], c[1], c[len(c)-1] = name, r.Arch, r.Status
		return c
	}
	s := r.sums()
	c := []string{name, r.Arch, count(s.passed, s.failed, s.skipped), count(s.ok, s.bad, s.left)}
	for _, v := range []string{"seen", "renamed", "tail_call", "inlined", "not_observable", "contradicted", "undocumented"} {
		n := ""
		if len(r.Verify) > 0 {
			n = fmt.Sprint(s.edges[v])
		}
		c = append(c, n)
	}
	return append(c, r.Status)
}

// count writes what passed, and the rest where there is some.
func count(ok, bad, skipped int) string {
	if ok+bad+skipped == 0 {
		return ""
	}
	s := fmt.Sprint(ok)
	if bad > 0 {
		s += fmt.Sprintf(", %d failed", bad)
	}
	if skipped > 0 {
		s += fmt.Sprintf(", %d skipped", skipped)
	}
	return s
}

// textTable writes the table for a terminal.
func textTable(w io.Writer, results []*result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, r := range results {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	t.Flush()
}

// markdownTable writes the table for the README.
func markdownTable(w io.Writer, results []*result) {
	fmt.Fprintf(w, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, r := range results {
		fmt.Fprintf(w, "| %s |\n", strings.Join(r.cells(), " | "))
	}
}

// details writes what is behind a failed or a skipped row.
func details(w io.Writer, r *result) {
	if r.Status == statusOK {
		return
	}
	fmt.Fprintf(w, "\n%s: %s: %s\n", r.Series, r.Status, r.Reason)
	for _, t := range r.Tests {
		if t.Status != statusOK {
			fmt.Fprintf(w, "-- %s, exit status %d\n%s\n", t.Name, t.Exit, t.Output)
		}
	}
	for _, v := range r.Verify {
		if v.Status == statusFailed {
			fmt.Fprintf(w, "-- scenario %s: %s\n", v.Name, v.Reason)
			for _, e := range v.Open {
				if e.Verdict != "contradicted" && e.Verdict != "undocumented" {
					continue
				}
				fmt.Fprintf(w, "   %s -> %s: %s: %s\n", e.Caller, e.Callee, e.Verdict, e.Evidence)
			}
		}
	}
	if r.Log != "" {
		fmt.Fprintf(w, "-- its last lines\n%s\n", r.Log)
	}
}
