//go:build linux

package lab

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/route"
	"github.com/efd-go/efd/internal/scenario"
)

// ExpectedWake is a wake that the scenario stated, with the observed one.
type ExpectedWake struct {
	scenario.Wake
	Seen  *observe.Judged // nil if it was not seen
	Other *observe.Judged // woken by something else in its place

	stale bool // seen, and the sleep that it ended is not on record
}

// expectedWakes are the wakes that a trial has to show, those of a recording that
// has but the scenario's own among them.
func (t *Trial) expectedWakes() []ExpectedWake {
	r := t.Result
	if len(r.Wakes) == 0 {
		own := t.Scenario.Own()
		own.Waiter, own.Waker, own.Began, own.Ended = r.Waiter, r.Waker, r.Began, r.Ended
		return []ExpectedWake{{Wake: own}}
	}
	var out []ExpectedWake
	for _, w := range r.Wakes {
		out = append(out, ExpectedWake{Wake: w})
	}
	return out
}

// of reports whether a wake may be the stated one by its thread and time.
func (s *ExpectedWake) of(w *observe.Wake) bool {
	return (w.Wakee.TID == s.Waiter || s.Worker) && s.Began <= w.Time && w.Time <= s.Ended
}

// stated returns the scenario's statement on a wake, nil for none.
func (t *Trial) stated(w *observe.Wake) *observe.Statement {
	for i := range t.Wakes {
		if s := &t.Wakes[i]; s.of(w) {
			return &observe.Statement{Source: s.Source, SleepPath: s.SleepPath, Without: s.Without}
		}
	}
	if t.disturbs(w) {
		return &observe.Statement{}
	}
	return nil
}

// disturbs reports whether a wake is that of a thread that was to stay asleep.
func (t *Trial) disturbs(w *observe.Wake) bool {
	return slices.ContainsFunc(t.Result.StillAsleep, func(r scenario.SleepingThread) bool {
		return w.Wakee.TID == r.TID && r.From <= w.Time && w.Time <= r.To
	})
}

// find looks for each stated wake among those that were reported.
func (t *Trial) find() {
	for i := range t.Wakes {
		t.Wakes[i].find(t)
	}
	if t.Wake = t.Wakes[0].Seen; t.Wake != nil {
		t.Wake.Object = cmp.Or(t.Result.Object, t.Wake.Object)
	}
	for _, r := range t.Reported {
		if r.Wake != nil && t.disturbs(r.Wake.Wake) {
			t.Disturbed = append(t.Disturbed, r.Wake)
		}
	}
}

func (s *ExpectedWake) find(t *Trial) {
	for _, r := range t.Reported {
		j := r.Wake
		if j == nil || !s.of(j.Wake) {
			continue
		}
		if t.fits(&s.Wake, j) {
			if s.stale = stale(&s.Wake, j); !s.stale {
				s.Seen = j
			}
			return
		}
		s.Other = j
		if j.Context == match.Unknown {
			return // it may have been the one that is looked for, so that a later one is not
		}
	}
}

// fits reports whether a wake is the one that the scenario stated.
func (t *Trial) fits(want *scenario.Wake, j *observe.Judged) bool {
	if want.Worker && !sameKinds(j.Callbacks, want.Through) {
		return false
	}
	context := match.Context(want.Context)
	if context == "" {
		context = match.Task
	}
	if j.Context != context {
		return false
	}
	if j.Lost && !j.Stale && !sameCall(j.WakeeSyscall, want.Call) {
		return false // the waiter's call is not known for certain
	}
	if src := observe.WakeSource(match.SplitWaking(&j.Waking).Inner); t.Lost() > 0 && src != "" && src != want.Source {
		return false // a later wake: the expected one may be among the losses
	}
	if context == match.Task && want.Waker != 0 && j.Waker.TID != want.Waker {
		return false
	}
	return true
}

// stale reports whether the recorded sleep is an earlier one. The scenario saw
// its waiter asleep in the stated call; a record of another call then means
// that records are missing which the kernel did not count as lost.
func stale(want *scenario.Wake, j *observe.Judged) bool {
	if want.Call == "" || want.Worker {
		return false
	}
	if j.Stale && j.WakeeSyscall == "" {
		return true
	}
	in := []string{j.WakeeSyscall}
	if j.Sleep != nil && j.Sleep.Chain != nil {
		in = append(in, observe.ChainSyscall(j.Sleep.Chain.Stack))
	}
	return slices.ContainsFunc(in, func(call string) bool { return call != "" && !sameCall(call, want.Call) })
}

// sameCall: epoll has three system calls, and a library has the choice.
func sameCall(a, b string) bool {
	m := catalog.DefaultModel()
	w := m.Call(a).Waiter
	return a == b || w != nil && w.Sleeps && w == m.Call(b).Waiter
}

// SameWaiters compares the callbacks of a wake with the kinds of waiters, or
// the callbacks, that were stated. A sleeping thread's own function may be that
// of another kernel.
func SameWaiters(got, want []string) bool {
	m := catalog.DefaultModel()
	return slices.EqualFunc(got, want, func(g, w string) bool {
		a, b := m.Woken(g), m.Woken(w)
		return g == w || a != nil && b != nil && (a == b || a.Sleeps && b.Sleeps)
	})
}

// sameKinds is SameWaiters for a wake that may be another's: it is of the very kind.
func sameKinds(got, want []string) bool {
	m := catalog.DefaultModel()
	return slices.EqualFunc(got, want, func(g, w string) bool { return g == w || m.Woken(g) != nil && m.Woken(g) == m.Woken(w) })
}

// conclude returns the fault of one stated wake, "" and OK if there is none.
func (s *ExpectedWake) conclude(lost uint64) (Status, string) {
	switch {
	case s.stale && lost == 0:
		return Inconclusive, fmt.Sprintf("thread %d's going to sleep was not recorded", s.Waiter)
	case s.Seen == nil && lost > 0:
		return Inconclusive, fmt.Sprintf("%s, the wake-up of thread %d among them", count.Of(lost, "record was lost", "records were lost"), s.Waiter)
	case s.Seen == nil && s.Other != nil && s.Other.Context == match.Unknown:
		return Inconclusive, fmt.Sprintf("the waker of thread %d is unknown: %s", s.Waiter, s.Other.NoWaker())
	case s.Seen == nil && s.Other != nil:
		return Inconclusive, fmt.Sprintf("thread %d was woken by something else: %s", s.Waiter, s.Other.Describe())
	case s.Seen == nil:
		return Inconclusive, fmt.Sprintf("no wake-up of thread %d was recorded", s.Waiter)
	case !SameWaiters(s.Seen.Callbacks, s.Through):
		return Failed, fmt.Sprintf("thread %d was woken through %s, and the scenario states %s", s.Waiter, through(s.Seen.Callbacks), through(route.Callbacks(s.Through)))
	case s.Seen.WakeChain == nil:
		return Inconclusive, "no path is documented for this wake-up"
	case s.Seen.SleepChain == nil && s.Seen.NoSleep() != "":
		return Inconclusive, fmt.Sprintf("how thread %d went to sleep is not known: %s", s.Waiter, s.Seen.NoSleep())
	case s.Seen.SleepChain == nil && lost > 0:
		return Inconclusive, fmt.Sprintf("%s, thread %d's going to sleep among them", count.Of(lost, "record was lost", "records were lost"), s.Waiter)
	case s.Seen.SleepChain == nil && !s.Worker:
		return Inconclusive, fmt.Sprintf("thread %d's going to sleep was not recorded", s.Waiter)
	}
	return OK, ""
}

func through(callbacks []string) string {
	if len(callbacks) == 0 {
		return "no wait queue"
	}
	out := callbacks[0]
	for _, c := range callbacks[1:] {
		out += " and " + c
	}
	return out
}

// chains are all that was judged of a trial.
func (t *Trial) chains() []*match.Chain {
	var out []*match.Chain
	for _, s := range t.Wakes {
		if s.Seen != nil {
			out = append(out, s.Seen.WakeChain, s.Seen.SleepChain)
		}
	}
	for _, w := range slices.Concat(t.Watched, t.Allocated) {
		out = append(out, w.Chain)
	}
	return slices.DeleteFunc(out, func(c *match.Chain) bool { return c == nil })
}

// disturbed: a thread that was to stay asleep was woken.
func (t *Trial) disturbed() (Status, string) {
	if len(t.Disturbed) == 0 {
		return OK, ""
	}
	j := t.Disturbed[0]
	if len(j.Callbacks) > 0 {
		return Failed, fmt.Sprintf("thread %d was to be left asleep, and was woken by %s", j.Wakee.TID, j.Describe())
	}
	return Inconclusive, fmt.Sprintf("thread %d, which was to be left asleep, was woken by something else: %s", j.Wakee.TID, j.Describe())
}

// Remarks lists the results of the scenario that are no call of a path: the
// thread that was left asleep, and the evidence for it.
func (t *Trial) Remarks() []string {
	var out []string
	for _, r := range t.Result.StillAsleep {
		s := fmt.Sprintf("Thread %d slept on in %s when thread %d was woken: before and after, /proc has it asleep there, and its count of voluntary context switches at %d.", r.TID, r.Call, t.Wakes[0].Waiter, r.Switches)
		switch lost := t.Lost(); {
		case len(t.Disturbed) > 0:
			continue
		case lost > 0:
			s += " That no wake-up of it is on record says little: " + count.Of(lost, "record was lost.", "records were lost.")
		default:
			s += " No wake-up of it is on record either, which alone would prove nothing: a thread that is awake is called back without one."
		}
		out = append(out, s)
	}
	return out
}
