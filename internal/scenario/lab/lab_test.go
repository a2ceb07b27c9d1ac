//go:build linux

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
)

// taped is a trial of a recording that was read once, to be judged many times.
type taped struct {
	name   string
	kernel *observe.Kernel
	trial  *lab.Trial
}

// read reads the trials of a recording.
func read(file string) ([]*taped, error) {
	r, err := record.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	k, err := lab.KernelOf(&r.Header)
	if err != nil {
		return nil, err
	}
	trials, err := lab.ReadTrials(r, k, nil)
	if err == nil && len(trials) == 0 {
		err = fmt.Errorf("%s: no trial in the recording", file)
	}
	var list []*taped
	for _, tr := range trials {
		list = append(list, &taped{r.Header.Release + "/" + tr.Scenario.Name, k, tr})
	}
	return list, err
}

// tapes are the trials of real kernels: in recordings one a file, in matrix
// all that verify saw on a kernel.
var tapes = sync.OnceValues(func() (list []*taped, err error) {
	var files []string
	for _, pattern := range []string{"recordings/*/*.jsonl.gz", "matrix/*.jsonl.gz"} {
		found, e := filepath.Glob("../../../testdata/" + pattern)
		if e == nil && len(found) == 0 {
			e = fmt.Errorf("no testdata/%s", pattern)
		}
		files, err = append(files, found...), errors.Join(err, e)
	}
	for _, f := range files {
		l, e := read(f)
		list, err = append(list, l...), errors.Join(err, e)
	}
	return list, err
})

// judge judges the recording again, with other events.
func (p *taped) judge(change func(*lab.Trial)) *lab.Trial {
	tr := p.changed(change)
	lab.Judge(p.kernel, tr)
	return tr
}

// judgeWakes judges the chains of the recording's wakes again, with another
// catalogue.
func (p *taped) judgeWakes(wrap func(observe.Catalog) observe.Catalog) *lab.Trial {
	tr, k := p.changed(nil), p.kernel
	lab.JudgeWakes(&observe.Kernel{Release: k.Release, Arch: k.Arch, Version: k.Version, Symbols: k.Symbols, Catalog: wrap(k.Catalog)}, tr)
	return tr
}

// found judges the recording with other events as far as it takes to find
// fault with them: most show in a chain by itself, in a fifth of the time.
func (p *taped) found(change func(*lab.Trial)) *lab.Trial {
	tr := p.changed(change)
	if lab.JudgeChains(p.kernel, tr); tr.Status != lab.OK {
		return tr
	}
	return p.judge(change)
}

func (p *taped) changed(change func(*lab.Trial)) *lab.Trial {
	tr := &lab.Trial{Scenario: p.trial.Scenario, Result: p.trial.Result, Events: slices.Clone(p.trial.Events), Losses: slices.Clone(p.trial.Losses), Tracer: p.trial.Tracer}
	if change != nil {
		change(tr)
	}
	return tr
}

func each(t *testing.T, fn func(t *testing.T, p *taped)) {
	testenv.Tree(t, "../../../testdata/recordings", "../../../testdata/matrix")
	list, err := tapes()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range list {
		if testing.Short() && i%6 != 0 {
			continue // a sample: each is replayed once for each of its edges
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			fn(t, p)
		})
	}
}

func TestReplayUnchanged(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		tr := p.trial
		if tr.Status != lab.OK {
			t.Fatalf("%s: %s: %s", tr.Scenario.Name, tr.Status, tr.Reason)
		}
		// A task of the kernel's own is not recorded when it runs again.
		if tr.Wake.Latency() <= 0 && !tr.Scenario.Worker {
			t.Errorf("latency %d ns", tr.Wake.Latency())
		}
	})
}

// There is one judgement of a wake: the same is compared with the statements of
// a trial, and written by verify -o.
func TestReplayReportsWhatItCompares(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		reported := map[*observe.Judged]bool{}
		for _, r := range p.trial.Reported {
			reported[r.Wake] = true
		}
		for _, w := range p.trial.Wakes {
			if w.Seen != nil && !reported[w.Seen] {
				t.Errorf("the wake of thread %d is compared and not reported", w.Waiter)
			}
		}
	})
}

// chains returns the judged chains of a trial by the event that they are from.
func chainOf(tr *lab.Trial, kind ktrace.EventKind) (*match.Chain, *ktrace.Event) {
	if tr.Wake == nil {
		return nil, nil
	}
	if kind == ktrace.Waking {
		return tr.Wake.WakeChain, &tr.Wake.Waking
	}
	if tr.Wake.Sleep == nil {
		return nil, nil
	}
	return tr.Wake.SleepChain, tr.Wake.Sleep.Chain
}

// otherBranch reports whether a chain took a documented branch that another
// did not: without the one frame in which they differ, it is that branch's own.
func otherBranch(c, than *match.Chain) bool {
	had := map[string]bool{"": true}
	for _, s := range than.Steps {
		had[s.Branch] = true
	}
	return slices.ContainsFunc(c.Steps, func(s match.Step) bool { return !had[s.Branch] })
}

// mayBeAbsent are the frames without which a chain may be as documented too, and
// why. at is the frame's place and than the whole chain, c the chain without it.
var mayBeAbsent = map[string]struct {
	why string
	is  func(c, than *match.Chain, at int) bool
}{
	"el0t_64_sync_handler":          {"arm64's outermost documented frame: a chain may begin below it", outermost},
	"__schedule":                    {"schedule is itself a place where the scheduler's event can lie", innermost},
	"do_send_specific":              {"do_send_sig_info, which others call too, is a start as well", nextIsStart},
	"__io_submit_flush_completions": {"all of io_uring comes to io_cqring_ev_posted, and since 6.0 to __io_commit_cqring_flush", nextIsStart},
	"tctx_task_work":                {"what runs a task's work is a start as well", outermostOrNone},
}

func innermost(_, than *match.Chain, at int) bool { return at == 0 && len(than.Inner) > 1 }
func outermost(_, than *match.Chain, at int) bool { return at == than.Begin-1 }
func outermostInside(than *match.Chain, at int) bool {
	return at == than.Begin-1 && len(than.Inner) > than.Begin
}
func nextIsStart(c, than *match.Chain, at int) bool {
	return outermostInside(than, at) && c.Begin == at
}
func outermostOrNone(c, than *match.Chain, at int) bool {
	return outermostInside(than, at) && c.Begin <= at
}

// Any frame inside the documented part that is taken out of either chain must
// be found out, but for those of mayBeAbsent. Of these each is met.
func TestReplayWithoutFrame(t *testing.T) {
	var mu sync.Mutex
	met := map[string]bool{}
	if !testing.Short() {
		t.Cleanup(func() {
			for name, absent := range mayBeAbsent {
				if !met[name] {
					t.Errorf("no recording passes without %s (%s): the exception is of no use", name, absent.why)
				}
			}
		})
	}
	each(t, func(t *testing.T, p *taped) {
		for _, kind := range []ktrace.EventKind{ktrace.Waking, ktrace.Switch} {
			whole := p.trial
			c, ev := chainOf(whole, kind)
			if c == nil {
				continue
			}
			skip := len(match.Split(ev.Stack).Inner) - len(c.Inner)
			for i := range c.Begin {
				gone := ev.Stack[i+skip].Name
				changed := p.found(func(tr *lab.Trial) {
					for j := range tr.Events {
						e := &tr.Events[j]
						if e.Kind == kind && e.Time == ev.Time {
							e.Stack = slices.Delete(slices.Clone(e.Stack), i+skip, i+skip+1)
						}
					}
				})
				got, _ := chainOf(changed, kind)
				if changed.Status != lab.OK || otherBranch(got, c) {
					continue
				}
				if absent, ok := mayBeAbsent[gone]; ok && absent.is(got, c, i) {
					mu.Lock()
					met[gone] = true
					mu.Unlock()
					continue
				}
				t.Errorf("%s taken out of the chain of a %v: %s", gone, kind, changed.Status)
			}
		}
	})
}

// A wake-up whose chain is that of what an interrupt hit proves nothing: the
// scenario has to be tried again.
func TestReplayWithForeignChain(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		if p.trial.Wake == nil || p.trial.Status != lab.OK {
			t.Skip("no wake of its own")
		}
		at := p.trial.Wake.Time
		changed := p.judge(func(tr *lab.Trial) {
			for j := range tr.Events {
				if e := &tr.Events[j]; e.Kind == ktrace.Waking && e.Time == at {
					e.Stack = []ktrace.Frame{{Name: "perf_tp_event"}, {Name: "perf_trace_sys_exit"}, {Name: "syscall_exit_work"}, {Name: "do_syscall_64"}}
				}
			}
		})
		if changed.Status != lab.Inconclusive {
			t.Errorf("%s: %s", changed.Status, changed.Reason)
		}
	})
}

// misspelt is a catalogue in which one callee is written wrongly, and so in no
// source that was checked.
type misspelt struct {
	observe.Catalog
	caller, callee string
	hits           *int
}

func (m misspelt) Path(name string, v ktrace.Version, syms ktrace.SymbolSet) (*ktrace.Path, error) {
	p, err := m.Catalog.Path(name, v, syms)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(p.Edges, func(e ktrace.Edge) bool { return e.Caller == m.caller && e.Callee == m.callee }) {
		return p, nil
	}
	c := *p
	c.Edges = slices.Clone(p.Edges)
	for i := range c.Edges {
		e := &c.Edges[i]
		if e.Caller == m.caller && e.Callee == m.callee {
			e.Callee, e.Proved, e.Tail, e.Inlined = e.Callee+"_", false, nil, nil
			*m.hits++
		}
	}
	return &c, nil
}

func TestReplayMisspelt(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		whole := p.trial
		for _, kind := range []ktrace.EventKind{ktrace.Waking, ktrace.Switch} {
			c, _ := chainOf(whole, kind)
			if c == nil {
				continue
			}
			for _, s := range c.Steps {
				if s.Kind == ktrace.Tracepoint {
					continue
				}
				hits := 0
				changed := p.judgeWakes(func(c observe.Catalog) observe.Catalog {
					return misspelt{c, s.Caller, s.Callee, &hits}
				})
				if hits == 0 {
					continue // an edge that is the matcher's own, such as into the table of calls
				}
				if got, _ := chainOf(changed, kind); got != nil && len(got.Findings()) == 0 && !otherBranch(got, c) {
					t.Errorf("%s -> %s_ in the catalogue (%s before): no finding", s.Caller, s.Callee, s.Verdict)
				}
			}
		}
	})
}

func TestReplayWithLosses(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		changed := p.judge(func(tr *lab.Trial) {
			tr.Events = slices.DeleteFunc(tr.Events, func(e ktrace.Event) bool { return e.Kind == ktrace.Waking })
			tr.Losses = append(tr.Losses, ktrace.Loss{Source: "sched:sched_waking", Count: 3, From: tr.Result.Began, To: tr.Result.Ended})
		})
		if changed.Status != lab.Inconclusive || !strings.Contains(changed.Reason, "3 records were lost") {
			t.Errorf("%s: %s", changed.Status, changed.Reason)
		}
	})
}

// withoutTheLastSleep takes the waiter's own call and its sleep out of a
// trial, and gives the time of what is there in their place: another sleep.
func withoutTheLastSleep(tr *lab.Trial) int64 {
	r := tr.Result
	tr.Events = slices.DeleteFunc(tr.Events, func(e ktrace.Event) bool {
		return e.TID == r.Waiter && e.Time < r.Began
	})
	first := tr.Events[0].Time
	futex := ktrace.Event{TID: r.Waiter, PID: r.PID, Time: first}
	enter, leave := futex, futex
	enter.Kind, enter.Nr = ktrace.SysEnter, 202
	leave.Kind, leave.State = ktrace.Switch, 1
	for _, f := range []string{"__schedule", "schedule", "futex_do_wait", "__x64_sys_futex", "do_syscall_64", "entry_SYSCALL_64_after_hwframe"} {
		leave.Stack = append(leave.Stack, ktrace.Frame{Name: f})
	}
	tr.Events = slices.Insert(tr.Events, 0, enter, leave)
	return first
}

// Where the waiter's own call and its sleep were lost, those before them are
// not taken for them.
func TestReplayWithoutTheLastSleep(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		changed := p.judge(func(tr *lab.Trial) {
			first := withoutTheLastSleep(tr)
			tr.Losses = append(tr.Losses, ktrace.Loss{Source: "perf", Count: 3, From: first + 1, To: tr.Result.Began})
		})
		if changed.Status == lab.OK && changed.Wake.Sleep.From > changed.Result.Began {
			return // it slept again after what was lost
		}
		if changed.Status != lab.Inconclusive || !strings.Contains(changed.Reason, "3 records were lost") {
			t.Errorf("%s: %s", changed.Status, changed.Reason)
		}
	})
}

// The same where the kernel did not say that records were lost: the scenario
// saw its waiter asleep in another call than the one on record.
func TestReplayWithoutTheLastSleepUnannounced(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		changed := p.judge(func(tr *lab.Trial) { withoutTheLastSleep(tr) })
		if s := p.trial.Scenario; s.Worker || s.Waiter == "" {
			return // whoever is woken there does not sleep in a call of ours
		}
		if changed.Status == lab.OK && changed.Wake.Sleep.From > changed.Result.Began {
			return
		}
		if changed.Status != lab.Inconclusive || !strings.Contains(changed.Reason, "going to sleep was not recorded") {
			t.Errorf("%s: %s", changed.Status, changed.Reason)
		}
	})
}

// open ends the test where nothing can be observed.
func open(t *testing.T) *lab.Lab {
	t.Helper()
	l := lab.Open()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	tier := "perf"
	if a, ok := errors.AsType[*ktrace.AccessError](l.Denied); ok {
		tier = a.Tier
	}
	testenv.Require(t, tier, l.Denied)
	testenv.Shared(t, "watchpoints")
	return l
}

func TestThisKernel(t *testing.T) {
	l := open(t)
	for _, s := range scenario.All() {
		if testing.Short() && !s.Demo {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			switch tr := l.Run(context.Background(), s); tr.Status {
			case lab.Skipped:
				t.Skip(tr.Reason)
			case lab.OK:
			default:
				t.Errorf("%s: %s", tr.Status, tr.Reason)
				for _, e := range tr.Edges() {
					if e.Verdict.Finding() {
						t.Errorf("%s -> %s %s: %s", e.Caller, e.Callee, e.Verdict, e.Evidence)
					}
				}
			}
		})
	}
}

// Every name that a scenario gives is documented, and every system that this
// machine could show has a scenario.
func TestScenariosAreDocumented(t *testing.T) {
	names, systems := catalog.Default().Names(), map[int]bool{}
	for _, s := range scenario.All() {
		systems[s.System] = true
		for _, p := range append([]string{s.Source, s.SleepPath}, s.Paths...) {
			if p != "" && !slices.Contains(names, p) {
				t.Errorf("%s: no path %q is documented", s.Name, p)
			}
		}
	}
	for n := 1; n <= 18; n++ {
		if !systems[n] {
			t.Errorf("system %d has no scenario", n)
		}
	}
}

// Every documented path is one that a scenario takes, or there is a reason.
func TestEveryPathHasAScenario(t *testing.T) {
	taken := map[string]string{}
	for _, s := range scenario.All() {
		for _, p := range lab.Paths(s) {
			taken[p] = s.Name
		}
	}
	for _, p := range catalog.Default().Names() {
		by, why := taken[p], scenario.Untaken[p]
		switch {
		case by == "" && why == "":
			t.Errorf("no scenario takes %s, and no reason is given", p)
		case by != "" && why != "":
			t.Errorf("scenario %s takes %s, which is said not to be possible: %s", by, p, why)
		}
	}
	for p := range scenario.Untaken {
		if !slices.Contains(catalog.Default().Names(), p) {
			t.Errorf("no path %q is documented", p)
		}
	}
}

func TestRecordAndReplay(t *testing.T) {
	l := open(t)
	s, err := scenario.Find(false, "ppoll")
	if err != nil {
		t.Fatal(err)
	}
	live := l.Run(context.Background(), s[0])
	if live.Status != lab.OK {
		t.Fatalf("%s: %s", live.Status, live.Reason)
	}
	file := filepath.Join(t.TempDir(), "x.jsonl.gz")
	w, err := record.Create(file, l.Header(), record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Record(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tape, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	again := tape[0].trial
	if again.Status != live.Status || again.Wake.Callback != live.Wake.Callback || again.Wake.Latency() != live.Wake.Latency() {
		t.Errorf("live %s %s %d, replayed %s %s %d", live.Status, live.Wake.Callback, live.Wake.Latency(), again.Status, again.Wake.Callback, again.Wake.Latency())
	}
	if b, err := os.ReadFile(file); err != nil || len(b) > 64<<10 {
		t.Errorf("a trial takes %d bytes, %v", len(b), err)
	}
}
