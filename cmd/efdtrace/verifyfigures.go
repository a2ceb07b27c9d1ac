//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// figureJSON is how many edges of the ways that were taken were shown, and
// which were not.
type figureJSON struct {
	Taken int        `json:"taken"` // edges of the branches taken
	Edges int        `json:"edges"` // those of them for which a source exists here
	Shown int        `json:"shown"`
	Share *float64   `json:"share,omitempty"` // of Edges; absent where there are none
	Other int        `json:"other_build"`     // of Shown: explained by what was read in another build of the kernel
	Open  []openJSON `json:"open"`
}

// witnessJSON is the same for the function tracer alone.
type witnessJSON struct {
	Absent    string         `json:"absent,omitempty"` // why there is no function tracer: then nothing else is there
	Tracer    string         `json:"tracer,omitempty"`
	Functions int            `json:"functions,omitempty"`
	Edges     int            `json:"edges"`
	Saw       int            `json:"saw"`
	Share     *float64       `json:"share,omitempty"`
	Open      []openJSON     `json:"open,omitempty"`
	Apart     []openJSON     `json:"apart,omitempty"` // not counted: their callee's entry there is not to be seen
	Disagree  []disagreeJSON `json:"disagree,omitempty"`
}

type openJSON struct {
	Caller    string         `json:"caller"`
	Callee    string         `json:"callee"`
	Verdict   ktrace.Verdict `json:"verdict"`
	Reason    string         `json:"reason"`
	Scenarios []string       `json:"scenarios"`
}

type disagreeJSON struct {
	Caller    string         `json:"caller"`
	Callee    string         `json:"callee"`
	Chains    ktrace.Verdict `json:"chains"`
	Tracer    ktrace.Verdict `json:"tracer"`
	Reason    string         `json:"reason"`
	Scenarios []string       `json:"scenarios"`
}

// coveredJSON and witnessedJSON are the figures of one scenario.
type coveredJSON struct {
	Taken int `json:"taken"`
	Edges int `json:"edges"`
	Shown int `json:"shown"`
}

type witnessedJSON struct {
	Edges int `json:"edges"`
	Saw   int `json:"saw"`
}

func share(part, whole int) *float64 {
	if whole == 0 {
		return nil
	}
	s := float64(part) / float64(whole)
	return &s
}

// count adds a trial to the figures.
func (v *verification) count(t *lab.Trial, s *scenarioJSON) {
	if t.Wake == nil {
		return
	}
	c := match.CoverageOf(t.Edges())
	s.Coverage = &coveredJSON{c.Taken, c.Edges, c.Shown}
	v.out.Coverage.Taken += c.Taken
	v.out.Coverage.Other += c.Borrowed
	v.out.Coverage.Edges += c.Edges
	v.out.Coverage.Shown += c.Shown
	v.out.Coverage.Open = addOpen(v.out.Coverage.Open, c.Open, s.Name)
	if v.lab.Tracer() == "" {
		return
	}
	w, apart := match.TracerCoverage(t.Edges())
	s.Witness = &witnessedJSON{w.Edges, w.Shown}
	v.out.Witness.Edges += w.Edges
	v.out.Witness.Saw += w.Shown
	v.out.Witness.Open = addOpen(v.out.Witness.Open, w.Open, s.Name)
	v.out.Witness.Apart = addOpen(v.out.Witness.Apart, apart, s.Name)
	for _, d := range match.Disagree(t.Edges()) {
		v.disagree(d, s.Name)
	}
}

func (v *verification) disagree(d match.Disagreement, scenario string) {
	list := v.out.Witness.Disagree
	for i := range list {
		if o := &list[i]; o.Caller == d.Caller && o.Callee == d.Callee && o.Chains == d.Chains && o.Tracer == d.Tracer {
			o.Scenarios = append(o.Scenarios, scenario)
			return
		}
	}
	v.out.Witness.Disagree = append(list, disagreeJSON{d.Caller, d.Callee, d.Chains, d.Tracer, d.Evidence, []string{scenario}})
}

// addOpen gathers the scenarios in which an edge stayed open.
func addOpen(list []openJSON, steps []match.Step, scenario string) []openJSON {
next:
	for _, s := range steps {
		for i := range list {
			if o := &list[i]; o.Caller == s.Caller && o.Callee == s.Callee && o.Verdict == s.Verdict {
				o.Scenarios = append(o.Scenarios, scenario)
				continue next
			}
		}
		list = append(list, openJSON{s.Caller, s.Callee, s.Verdict, s.Evidence, []string{scenario}})
	}
	return list
}

// finish works out the shares, and which sources were lacking.
func (v *verification) finish() {
	v.out.Tier, v.out.Unobservable = v.lab.Tier(), v.lab.Without()
	v.out.Coverage.Share = share(v.out.Coverage.Shown, v.out.Coverage.Edges)
	v.out.Witness.Share = share(v.out.Witness.Saw, v.out.Witness.Edges)
}

// figures prints them: a line each, and what they lack by name.
func (v *verification) figures() {
	c, w := &v.out.Coverage, &v.out.Witness
	if c.Edges > 0 {
		v.text.Para("", fmt.Sprintf("Coverage: of %s of the branches taken for which a source exists here, %d %s shown, %s. The branches taken have %s in all: nothing here tells of the other %d.", count.Of(c.Edges, "edge"), c.Shown, count.Word(c.Shown, "is", "are"), percent(*c.Share), count.Of(c.Taken, "edge"), c.Taken-c.Edges))
		if c.Other > 0 {
			v.text.Para("", fmt.Sprintf("Of those shown, %d %s explained by what was read in another build of the kernel, and not in this one: no proof that this one does the same.", c.Other, count.Word(c.Other, "is", "are")))
		}
		v.open(c.Open)
	}
	switch {
	case v.lab.Denied != nil: // the summary has the reason
	case w.Absent != "":
		v.text.Para("", "Witness: none: "+w.Absent+".")
	case w.Edges > 0:
		v.text.Para("", fmt.Sprintf("Witness: of %s of the branches taken between functions that can be traced here, the %s saw %d, %s.", count.Of(w.Edges, "edge"), w.Tracer, w.Saw, percent(*w.Share)))
		v.open(w.Open)
		v.apart(w.Apart)
	}
	for _, d := range w.Disagree {
		v.text.Para("    ", fmt.Sprintf("%s -> %s: the chains say %s, the tracer %s (%s; %s)", d.Caller, d.Callee, spoken(d.Chains), spoken(d.Tracer), d.Reason, strings.Join(d.Scenarios, ", ")))
	}
}

// apart names what the witness figure leaves out, by its reason.
func (v *verification) apart(list []openJSON) {
	for _, part := range []struct {
		of   bool // compiled in
		text string
	}{{true, "Compiled into the caller there"}, {false, "Not to be traced"}} {
		var names []string
		for _, o := range list {
			if name := o.Caller + " -> " + o.Callee; (o.Verdict == ktrace.Inlined) == part.of && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			v.text.Para("", fmt.Sprintf("%s, and not counted: %s.", part.text, strings.Join(names, ", ")))
		}
	}
}

func (v *verification) open(list []openJSON) {
	for _, o := range list {
		where := strings.Join(o.Scenarios, ", ")
		if n := len(o.Scenarios); n > 4 {
			where = fmt.Sprintf("%s and %d more", strings.Join(o.Scenarios[:3], ", "), n-3)
		}
		v.text.Para("    ", fmt.Sprintf("%s -> %s: %s (%s; %s)", o.Caller, o.Callee, spoken(o.Verdict), o.Reason, where))
	}
}

func spoken(v ktrace.Verdict) string { return strings.ReplaceAll(string(v), "_", " ") }

// percent rounds down: what is not whole is not called 100 %.
func percent(share float64) string { return fmt.Sprintf("%.1f %%", float64(int(share*1000))/10) }
