//go:build linux

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// sink is the file that verify writes in addition to its verdicts: trials, one
// after the other.
type sink interface {
	add(t *lab.Trial) error
	close() error
}

func checkSink(out, format string) error {
	if format == "" {
		return nil
	}
	if err := checkFormat(format, formats); err != nil {
		return err
	}
	if out == "" {
		return fmt.Errorf("-format %s wants -o FILE", format)
	}
	return nil
}

func newSink(e *env, l *lab.Lab, file *outFile, format string, o record.Options, scenarios []*scenario.Scenario) (sink, error) {
	format = cmp.Or(format, "recording")
	switch {
	case file == nil:
		return discard{}, nil
	case format == "recording":
		w, err := record.NewNamed(file, file.name, l.Header(), o)
		return recordedTrials{w, file}, err
	}
	v := newView(e, file, format, false)
	v.kernel, v.origin, v.tier = l.Kernel, "observed", l.Tier()
	v.title = count.Of(len(scenarios), "scenario")
	if len(scenarios) <= 4 {
		var names []string
		for _, s := range scenarios {
			names = append(names, s.Name)
		}
		v.title = "verify " + strings.Join(names, ", ")
	}
	return &shownTrials{view: v}, nil
}

type discard struct{}

func (discard) add(*lab.Trial) error { return nil }
func (discard) close() error         { return nil }

type recordedTrials struct {
	w    *record.Writer
	file *outFile
}

func (r recordedTrials) add(t *lab.Trial) error {
	if t.Wake == nil {
		return nil
	}
	return t.Record(r.w)
}

func (r recordedTrials) close() error {
	if err := r.w.Close(); err != nil {
		return r.file.spoilt(err)
	}
	return r.file.keep()
}

// shownTrials shows trials as run shows a program.
type shownTrials struct {
	view *view
	lost uint64
}

func (s *shownTrials) add(t *lab.Trial) error {
	s.lost += t.Lost()
	edges := t.Edges()
	summary := fmt.Sprintf("scenario %s: %s", t.Scenario.Name, t.Status)
	s.view.heading(t.Status != lab.OK, strings.Join(slices.DeleteFunc([]string{summary, t.Reason, counts(stepsJSON(edges))}, func(s string) bool { return s == "" }), ": "))
	if t.Wake == nil {
		return nil
	}
	for _, r := range t.Reported {
		if r.Call != nil {
			s.view.call(r.Call)
			continue
		}
		s.view.wake(r.Wake)
		if r.Wake == t.Wake && s.view.line != nil {
			s.view.line.Cover(t.Scenario.Name, r.Wake.SleepChain, edges, summary)
		}
	}
	return nil
}

func (s *shownTrials) close() error { return s.view.finish(s.lost) }

// heading begins a part of the output.
func (v *view) heading(warn bool, s string) {
	kind := "note"
	if warn {
		kind = "warning"
	}
	if v.line != nil {
		v.line.Note(kind, s)
		return
	}
	v.text.Printf("\n")
	v.text.Para("", v.text.Bold(s))
}
