//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// columns are those of the table, in both of its forms.
var columns = []string{"kernel", "boot", "tests", "scenarios", "edges seen", "shown", "by the tracer", "contradicted", "undocumented", "time", "status"}

func (r *result) cells() []string {
	name := r.Kernel
	if name == "" {
		name = r.Series
	}
	c := make([]string, len(columns))
	c[0], c[len(c)-1] = name, r.Status
	if r.Status == statusSkipped {
		return c
	}
	s := r.sums()
	if r.Boot > 0 {
		c[1] = fmt.Sprintf("%.1f s", r.Boot)
	}
	c[2], c[3] = count(s.passed, s.failed, s.skipped, 0), count(s.ok, s.bad, s.left, s.unsure)
	if len(r.Verify) > 0 {
		c[4], c[5], c[6] = fmt.Sprint(s.edges["seen"]), r.Coverage.String(), r.Witness.String()
		c[7], c[8] = fmt.Sprint(s.edges["contradicted"]), fmt.Sprint(s.edges["undocumented"])
	}
	c[9] = fmt.Sprintf("%.0f s", r.Seconds)
	return c
}

// count writes the number of passed ones, and the other numbers that are not 0.
func count(ok, bad, skipped, unsure int) string {
	if ok+bad+skipped+unsure == 0 {
		return ""
	}
	s := fmt.Sprint(ok)
	for _, rest := range []struct {
		n    int
		what string
	}{{bad, "failed"}, {skipped, "skipped"}, {unsure, "inconclusive"}} {
		if rest.n > 0 {
			s += fmt.Sprintf(", %d %s", rest.n, rest.what)
		}
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

// details writes the details of a row: the failures, the open edges and the
// reasons.
func details(w io.Writer, r *result) {
	if r.Status != statusOK {
		fmt.Fprintf(w, "\n%s: %s: %s\n", r.Series, r.Status, r.Reason)
	}
	for _, t := range r.Tests {
		if t.Once != nil {
			fmt.Fprintf(w, "-- %s: %s failed and ran once more: %s\n", r.Series, t.Name, strings.Join(t.Once, ", "))
		}
		if t.Status != statusOK {
			fmt.Fprintf(w, "-- %s, exit status %d\n%s\n", t.Name, t.Exit, t.Output)
		}
	}
	for _, v := range r.Verify {
		if v.Status == statusOK || v.Status == statusSkipped {
			continue
		}
		fmt.Fprintf(w, "-- %s: scenario %s %s: %s\n", r.Series, v.Name, v.Status, v.Reason)
		for _, e := range v.Open {
			if e.Verdict == "contradicted" || e.Verdict == "undocumented" {
				fmt.Fprintf(w, "   %s -> %s: %s: %s\n", e.Caller, e.Callee, e.Verdict, e.Evidence)
			}
		}
	}
	r.Witness.details(w, r.Series)
	if r.Log != "" {
		fmt.Fprintf(w, "-- its last lines\n%s\n", r.Log)
	}
}

// details writes the edges on which the function tracer and the call chains
// differ.
func (s *share) details(w io.Writer, series string) {
	if s == nil {
		return
	}
	if s.Absent != "" {
		fmt.Fprintf(w, "-- %s: no function tracer: %s\n", series, s.Absent)
	}
	for _, e := range s.Open {
		fmt.Fprintf(w, "-- %s: not seen by the tracer: %s -> %s: %s\n", series, e.Caller, e.Callee, e.Reason)
	}
	for _, part := range []struct {
		inlined bool
		text    string
	}{{false, "not to be traced, and not counted"}, {true, "compiled into the caller there, and not counted"}} {
		var names []string
		for _, e := range s.Apart {
			if name := e.Caller + " -> " + e.Callee; (e.Verdict == "inlined") == part.inlined && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if names != nil {
			fmt.Fprintf(w, "-- %s: %s: %s\n", series, part.text, strings.Join(names, ", "))
		}
	}
	for _, e := range s.Disagree {
		fmt.Fprintf(w, "-- %s: %s -> %s: chains %s, tracer %s: %s\n", series, e.Caller, e.Callee, e.Chains, e.Tracer, e.Reason)
	}
}
