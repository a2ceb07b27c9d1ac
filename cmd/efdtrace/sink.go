//go:build linux

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/picture"
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
	return &shownTrials{view: v, lab: l}, nil
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
	lab  *lab.Lab
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
	reported := false
	wake := func(j *observe.Judged) {
		if j.Time != t.Wake.Time || j.Wakee.TID != t.Wake.Wakee.TID {
			if ours(t, j.Wakee.TID, j.Time) {
				s.view.wake(j)
			}
			return
		}
		// The scenario's own wake: its statement is better evidence than its
		// chain.
		reported = true
		own := *t.Wake
		own.Wake = j.Wake
		own.Object = cmp.Or(t.Result.Object, own.Object)
		s.view.wake(&own)
		if s.view.line != nil {
			s.view.line.Cover(t.Scenario.Name, own.SleepChain, edges, summary)
		}
	}
	p := observe.NewPipeline(s.lab.Kernel, observe.Options{OnWake: wake, OnCall: func(c *observe.Call) {
		if ours(t, c.TID, c.Enter) && !s.watching(t, c) {
			s.view.call(c)
		}
	}})
	p.Feed(t.Events, slices.DeleteFunc(slices.Clone(t.Losses), func(l ktrace.Loss) bool { return !lab.OfWakes(l) }))
	p.Flush(0)
	if !reported { // a task of the kernel's own, which waits in no call
		wake(t.Wake)
	}
	return nil
}

func (s *shownTrials) close() error { return s.view.finish(s.lost) }

// ours: done by a trial's threads before all was over.
func ours(t *lab.Trial, tid int, at int64) bool { return t.Ours(tid) && at <= t.Result.Ended }

// watching reports a call that the observation made on one of the threads, to
// read the watchpoints and /proc. The scenario knows its own.
func (s *shownTrials) watching(t *lab.Trial, c *observe.Call) bool {
	if name := observe.SyscallName(s.lab.Kernel.Arch, c.Nr); name != "read" && name != "epoll_ctl" || len(c.Sleeps) > 0 {
		return false
	}
	onFD := func(text string) string { head, _, _ := strings.Cut(text, ","); return head }
	want := onFD(picture.FormatCall(s.lab.Kernel, c))
	return !slices.ContainsFunc(t.Result.Calls, func(l scenario.Line) bool { return l.TID == c.TID && onFD(l.Text) == want })
}

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
