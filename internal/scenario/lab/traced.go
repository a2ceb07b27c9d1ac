//go:build linux

package lab

import (
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/scenario"
)

// Trace has the function tracer watch the scenarios too, if the kernel lets
// it: NoTrace says why not.
func (l *Lab) Trace() {
	if l.Denied != nil {
		l.NoTrace = l.Denied
		return
	}
	if l.tracer, l.NoTrace = l.Kernel.OpenFunctions(l.symbols, 0); l.NoTrace == nil {
		l.witness = l.tracer.Witness
	}
}

// Functions is how many functions are traced.
func (l *Lab) Functions() int {
	if l.witness == nil {
		return 0
	}
	return len(l.witness.Traced)
}

// Tracer names the function tracer that is used, "" for none.
func (l *Lab) Tracer() string {
	if l.witness == nil {
		return ""
	}
	return l.witness.Name
}

// borrowed is a tracer that outlives the scenario.
type borrowed struct{ *observe.Functions }

func (b borrowed) Close() error { return b.Stop() }

// resume traces the scenario's two threads, and if somebody else does the
// waking the whole system.
func (l *Lab) resume(s *scenario.Scenario, r *scenario.Result) error {
	two := []int{r.Waiter, r.Waker}
	r.Joined = func(tid int) { l.tracer.Source.Also(tid) } // not traced: the figures say so
	if s.Context != "" || s.Worker {
		return l.tracer.Source.Resume(nil, two)
	}
	return l.tracer.Source.Resume(two, nil)
}

// cover gives the documented edges their verdicts.
func (l *Lab) cover(t *Trial) []match.Step {
	src := &match.Sources{Points: observe.Points(), Unseen: l.unseen(t), Lost: t.Lost()}
	if len(t.Watched) > 0 {
		for _, f := range catalog.DefaultModel().Functions(catalog.Watched, "") {
			src.Points[f] = "watchpoint"
		}
	}
	for _, loss := range t.Losses {
		if observe.OfFunctions(loss.Source) {
			src.Missed += loss.Count
		}
	}
	var taken []observe.Taken
	for i := range t.Wakes {
		if s := &t.Wakes[i]; s.Seen != nil {
			taken = append(taken, s.Seen.Slept(t.entries(s.sleeping)), s.Seen.Woke(t.entries(s.waking)))
		}
	}
	more := l.watched(t)
	for _, p := range t.Scenario.Paths {
		more = append(more, observe.Taken{Paths: []string{p}})
	}
	all := t.entries(func(e *ktrace.Event) bool { return t.Ours(e.TID) })
	for i := range more {
		more[i].Traced = all
	}
	taken = append(taken, more...)
	all = append(all, t.entries(func(e *ktrace.Event) bool { return !t.Ours(e.TID) && t.waking(e) })...)
	for i := range taken {
		taken[i].Around = all
	}
	return l.Kernel.Cover(src, t.Tracer, taken...)
}

// entries are those of the function tracer's events that are meant.
func (t *Trial) entries(of func(*ktrace.Event) bool) []*ktrace.Event {
	var out []*ktrace.Event
	for i := range t.Events {
		if e := &t.Events[i]; e.Kind == ktrace.FuncEntry && of(e) {
			out = append(out, e)
		}
	}
	return out
}

// sleeping: entered by the thread that slept, up to the end of its call.
func (s *ExpectedWake) sleeping(e *ktrace.Event) bool { return e.TID == s.Waiter && e.Time <= s.Ended }

// waking reports whether the waker entered the function while it acted.
func (s *ExpectedWake) waking(e *ktrace.Event) bool {
	return s.Seen != nil && e.TID == s.Seen.Waker.TID && e.Time >= s.Began-1000 && e.Time <= s.Ended // the tracer's times are whole microseconds
}

// waking reports whether a function was entered by a waker.
func (t *Trial) waking(e *ktrace.Event) bool {
	return slices.ContainsFunc(t.Wakes, func(s ExpectedWake) bool { return s.waking(e) })
}
