//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
)

// ways numbers the ways that calls took through the kernel, so that each is
// shown once.
type ways struct {
	known map[string]int
	of    map[*observe.Way]int
	last  int
}

// maxWays bounds the ways that are remembered.
const maxWays = 512

// number returns the number of a way, and whether it is a new one.
func (w *ways) number(way *observe.Way) (n int, fresh bool) {
	if n, ok := w.of[way]; ok {
		return n, false
	}
	if w.known == nil || len(w.known) >= maxWays {
		w.known = map[string]int{}
	}
	if w.of == nil || len(w.of) >= maxWays {
		w.of = map[*observe.Way]int{}
	}
	key := wayText(way)
	n, known := w.known[key]
	if !known {
		w.last++
		n = w.last
		w.known[key] = n
	}
	w.of[way] = n
	return n, !known
}

// wayText distinguishes two ways.
func wayText(way *observe.Way) string {
	var b strings.Builder
	for _, s := range way.Steps {
		if taken(s.Verdict) {
			fmt.Fprintf(&b, "%s %s %s %v\n", s.Caller, s.Callee, s.Verdict, s.ShownBy == way.Tracer)
		}
	}
	fmt.Fprint(&b, unsure(way) > 0)
	return b.String()
}

// taken reports whether an edge of a way is shown: those of other branches, and
// unknown ones, are not.
func taken(v ktrace.Verdict) bool {
	return v != ktrace.NotTaken && v != ktrace.NotObservable && v != ktrace.Inconclusive
}

// unsure counts the steps of a way that lost records leave open.
func unsure(way *observe.Way) (n int) {
	for _, s := range way.Steps {
		if s.Verdict == ktrace.Inconclusive {
			n++
		}
	}
	return n
}

// traced adds the function tracer to the sources, nil for none.
func (v *view) traced(t *match.Tracer) {
	if t != nil {
		v.tier = "tracepoints and " + t.Name
	}
}

// took is the way that a call took, nil if the tracer saw nothing of it.
type took struct {
	call string
	way  *observe.Way
}

// withWays shows a line and which ways the calls took that it is about: the
// steps of those that are the first to take theirs.
func (v *view) withWays(line string, all ...took) {
	var known []string
	all = slices.DeleteFunc(all, func(t took) bool {
		if t.way == nil {
			return true
		}
		n, fresh := v.ways.number(t.way)
		if !fresh {
			known = append(known, fmt.Sprintf("%s: way %d", t.call, n))
		}
		return !fresh
	})
	if len(known) > 0 {
		line += v.text.Dim(" [" + strings.Join(known, ", ") + "]")
	}
	v.text.Printf("%s\n", line)
	for _, t := range all {
		v.way(t)
	}
}

// way shows the steps of a way that is taken for the first time.
func (v *view) way(t took) {
	n, _ := v.ways.number(t.way)
	v.text.Printf("%14s%s: way %d, by the %s and the call chains:\n", "", t.call, n, t.way.Tracer)
	for _, s := range t.way.Steps {
		if !taken(s.Verdict) {
			continue
		}
		by := ""
		if s.ShownBy == t.way.Tracer && s.Verdict == ktrace.Seen {
			by = " by the tracer"
		}
		v.text.Printf("%16s%s\n", "", v.text.Dim(fmt.Sprintf("%-12s %s -> %s%s", spoken(s.Verdict), s.Caller, s.Callee, by)))
	}
	if n := unsure(t.way); n > 0 {
		v.text.Printf("%16s%s\n", "", v.text.Dim("inconclusive, since records were lost: "+count.Of(n, "further edge")))
	}
}

// findings are the steps of a wake that need attention.
func findings(j *observe.Judged) []match.Step {
	var out []match.Step
	add := func(c *match.Chain, w *observe.Way) {
		switch {
		case w != nil:
			out = append(out, slices.DeleteFunc(slices.Clone(w.Steps), func(s match.Step) bool { return !s.Verdict.Finding() })...)
		case c != nil:
			out = append(out, c.Findings()...)
		}
	}
	add(j.SleepChain, j.Sleeping)
	add(j.WakeChain, j.Waked)
	return out
}
