//go:build linux

// Package lab runs scenarios under observation and compares the observed calls
// of the kernel with the documented paths.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/access"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/ktext"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/alloc"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/watch"
	"github.com/efd-go/efd/internal/scenario"
)

// Lab knows the running kernel, and whether it can be observed.
type Lab struct {
	Kernel  *observe.Kernel
	Denied  error // why nothing can be observed here, nil if it can
	NoWatch error // why no eventfd can be watched, nil if that is not known or it can
	NoTrace error // why functions are not traced, nil if they are

	symbols *ksym.Table
	held    io.Closer          // the events that KeepOpen opened, nil for none
	tracer  *observe.Functions // open across scenarios: to open it takes longer than a scenario
	witness *match.Tracer      // the functions that it can show, nil if there is none

	lacking   []lack // of the trials that were run
	trials    int
	toWatch   int  // those of them in which eventfds were to be watched
	unwatched int  // and were not
	canWatch  bool // there were watchpoints at some time
}

// Open examines the running kernel. It never fails: Denied lists the
// unavailable parts. Close ends it.
func Open() *Lab {
	k, table, err := observe.ThisKernel()
	l := &Lab{Kernel: k, symbols: table}
	if l.Denied = observe.Observable(runtime.GOARCH); l.Denied != nil {
		return l
	}
	if err != nil {
		l.Denied = access.AllMissing(err)
		return l
	}
	release, err := access.Wakes(table)
	defer release()
	if err != nil {
		l.Denied = access.AllMissing(err)
		return l
	}
	// Without these events a trial only takes longer. They are opened before
	// those of Wakes are closed: closing a tracepoint's last event waits for
	// the kernel.
	l.held, _ = perf.KeepOpen("sched:sched_waking", "sched:sched_switch", "raw_syscalls:sys_enter", "raw_syscalls:sys_exit", "kmem:kmalloc", "kmem:kfree", "kmem:kmem_cache_alloc", "kmem:mm_page_alloc")
	// Without it only the reviewed facts on tail calls and inlining are known.
	if text, err := ktext.Open(table); err == nil {
		k.Text = &record.TextNotes{From: text}
	}
	return l
}

// Close ends the work of Open and Trace, and leaves nothing of it in the
// kernel.
func (l *Lab) Close() error {
	var held, traced error
	if l.held != nil {
		held, l.held = l.held.Close(), nil
	}
	if l.tracer != nil {
		traced, l.tracer = l.tracer.Close(), nil
	}
	return errors.Join(held, traced)
}

func (l *Lab) config() perf.Config {
	return perf.Config{Symbols: l.symbols, PIDs: []int{os.Getpid()}, Syscalls: l.Kernel.Numbers()}
}

// Status is the outcome of a scenario, as verify's JSON has it.
type Status string

const (
	OK           Status = "ok"
	Failed       Status = "failed"
	Skipped      Status = "skipped"
	Inconclusive Status = "inconclusive"
)

// Trial is one scenario that was run under observation.
type Trial struct {
	Scenario  *scenario.Scenario
	Result    *scenario.Result
	Status    Status
	Reason    string
	Reported  []Report          // of its threads, as the pipeline orders them
	Watched   []*observe.Change // of eventfds, by threads of the scenario
	Allocated []*observe.Change // by threads of the scenario
	Wake      *observe.Judged   // the wake that the scenario is about, nil if none was seen
	Wakes     []ExpectedWake    // all that it brings about, that one first
	Tries     int

	Disturbed []*observe.Judged // wakes of threads that were to be left asleep

	Events []ktrace.Event
	Losses []ktrace.Loss
	Tracer *match.Tracer // the function tracer that took part, nil for none

	Without []string // the sources that did not take part, and why, though they do in others

	steps    []match.Step
	noArgs   bool              // the events have no arguments
	observed bool              // sources were open
	broken   bool              // the scenario itself failed
	text     *record.TextNotes // the facts that the verdicts read in the kernel's code, nil if it cannot be read
}

// Paths names the documented paths that a scenario takes.
func Paths(s *scenario.Scenario) []string {
	out := append(observe.WakePaths(s.Source, s.Waiter, s.Through), s.Paths...)
	return slices.DeleteFunc(append(out, s.SleepPath, s.Waiter), func(p string) bool { return p == "" })
}

// Edges gives each edge of the scenario's documented paths its verdict.
func (t *Trial) Edges() []match.Step { return t.steps }

// Lost is the number of records of wakes that never arrived.
func (t *Trial) Lost() uint64 {
	var n uint64
	for _, l := range t.Losses {
		if OfWakes(l) {
			n += l.Count
		}
	}
	return n
}

// OfWakes reports whether a loss may leave a wake in doubt: that of a change of
// memory, or of a function entry, does not.
func OfWakes(l ktrace.Loss) bool {
	return l.Source != watch.Name && !observe.OfFunctions(l.Source) && !alloc.Is(l.Source)
}

// Tries is how often a scenario is run again whose picture is not the one
// that was asked for: records lost, or the waiter woken by something else.
const Tries = 5

// Run runs a scenario, and repeats runs that activity outside the scenario made
// inconclusive.
func (l *Lab) Run(ctx context.Context, s *scenario.Scenario) *Trial {
	var t *Trial
	for i := 1; i <= Tries; i++ {
		t = l.once(ctx, s)
		t.Tries = i
		if t.Status != Inconclusive || t.broken || ctx.Err() != nil {
			break
		}
	}
	if t.observed {
		l.lacks(t)
	}
	return t
}

func (l *Lab) once(ctx context.Context, s *scenario.Scenario) *Trial {
	t := &Trial{Scenario: s}
	var src source.Source
	var c *collector
	var w *watch.Source
	var asked int // eventfds that were to be watched
	var err error
	t.Result, err = s.Run(ctx, func(r *scenario.Result) error {
		if l.Denied != nil {
			return nil
		}
		p, err := perf.Open(l.config())
		if err != nil {
			return err
		}
		all := []source.Source{p}
		if l.tracer != nil {
			if err := l.resume(s, r); err != nil {
				p.Close()
				return err
			}
			t.Tracer = l.witness
			all = append(all, borrowed{l.tracer})
		}
		if a, err := alloc.Open(l.symbols, []int{r.Waiter, r.Waker}); err == nil {
			all = append(all, a)
		} else { // the registration is seen by others, or not
			t.Without = append(t.Without, noAllocs+err.Error())
		}
		src = source.Merge(all...)
		w = l.watch(s)
		if w == nil && l.canWatch && !s.Unwatched {
			t.Without = append(t.Without, noWatch+l.NoWatch.Error())
		}
		if w != nil {
			both := &guarded{of: source.Merge(append(all, w)...)}
			src = both
			r.Watch = func(make func() (int, error)) error {
				both.mu.Lock()
				defer both.mu.Unlock()
				asked++
				if w.Exhausted() {
					_, err := make()
					return err
				}
				_, _, err := w.Eventfd(make)
				return err
			}
		}
		c = collect(src)
		return nil
	})
	if src != nil {
		if e := c.stop(); e != nil && err == nil {
			err = e
		}
		t.Events, t.Losses = c.events, c.losses
	}
	t.observed = src != nil
	if w != nil {
		if why := unarmed(w, asked); why != "" {
			t.Without = append(t.Without, noWatch+why)
		}
	}
	switch {
	case errors.Is(err, scenario.ErrSkip):
		t.Status, t.Reason = Skipped, err.Error()
		return t
	case err != nil: // the calls were not made as stated, and say nothing of the kernel's paths
		t.Status, t.Reason, t.broken = Inconclusive, err.Error(), true
		return t
	case src == nil:
		t.Status, t.Reason = Skipped, l.Denied.Error()
		return t
	}
	l.judge(t)
	return t
}

// watch opens the watchpoints if available; NoWatch has the reason if not.
func (l *Lab) watch(s *scenario.Scenario) *watch.Source {
	if l.NoWatch != nil || s.Unwatched {
		return nil
	}
	w, err := watch.Open(watch.Config{Symbols: l.symbols})
	if err != nil {
		l.NoWatch = err
		return nil
	}
	l.canWatch = true
	return w
}

// guarded is a source that a scenario's threads use too, to have eventfds
// watched while it is read.
type guarded struct {
	mu sync.Mutex
	of source.Source
}

func (g *guarded) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of.Read(until, buf)
}

func (g *guarded) Losses() []ktrace.Loss {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of.Losses()
}

func (g *guarded) Stop() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of.Stop()
}

func (g *guarded) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.of.Close()
}

// collector reads a source while a scenario runs.
type collector struct {
	src    source.Source
	done   chan struct{}
	err    chan error
	events []ktrace.Event
	losses []ktrace.Loss
}

func collect(src source.Source) *collector {
	c := &collector{src: src, done: make(chan struct{}), err: make(chan error, 1)}
	go func() {
		c.err <- source.Run(src, 20*time.Millisecond, c.done, func(events []ktrace.Event, losses []ktrace.Loss) error {
			c.events, c.losses = append(c.events, events...), append(c.losses, losses...)
			return nil
		})
	}()
	return c
}

// stop ends the observation and reads the rest.
func (c *collector) stop() error {
	close(c.done)
	return errors.Join(<-c.err, c.src.Close())
}

// judge compares the pipeline's report on a trial with the scenario's
// statements.
func (l *Lab) judge(t *Trial) {
	l.observe(t, observe.Options{OnChange: t.changes(&t.Watched), OnAlloc: t.changes(&t.Allocated), OnCall: func(c *observe.Call) {
		if t.Ours(c.TID) && c.Enter <= t.Result.Ended && !l.observing(t, c) {
			t.Reported = append(t.Reported, Report{Call: c})
		}
	}})
	if t.Wake != nil {
		t.steps = l.cover(t)
	}
	t.conclude()
	t.text, _ = l.Kernel.Text.(*record.TextNotes)
	if t.text != nil {
		t.noteCalls()
	}
}

// observe feeds the events of a trial to the pipeline with the given options,
// and finds the stated wakes among those that it reports.
func (l *Lab) observe(t *Trial, o observe.Options) {
	t.Reported, t.Watched, t.Allocated, t.Disturbed, t.Wakes = nil, nil, nil, nil, t.expectedWakes()
	o.Partial, o.NoArgs, o.Stated = true, t.noArgs, t.stated
	o.OnWake = func(j *observe.Judged) { t.Reported = append(t.Reported, Report{Wake: j}) }
	p := observe.NewPipeline(l.Kernel, o)
	p.Feed(t.Events, slices.DeleteFunc(slices.Clone(t.Losses), func(loss ktrace.Loss) bool { return !OfWakes(loss) }))
	p.Flush(0)
	t.find()
	t.Reported = slices.DeleteFunc(t.Reported, func(r Report) bool { return r.Wake != nil && !t.own(r.Wake) })
}

// Report is a wake or a call that the pipeline reports.
type Report struct {
	Wake *observe.Judged
	Call *observe.Call
}

// own reports whether a wake is one that the scenario states, or concerns its
// threads before all was over.
func (t *Trial) own(j *observe.Judged) bool {
	stated := slices.ContainsFunc(t.Wakes, func(s ExpectedWake) bool { return s.Seen == j })
	return stated || j.Concerns() && t.Ours(j.Wakee.TID) && j.Time <= t.Result.Ended
}

// observing reports whether the observation itself made a call on one of the
// threads, to read the watchpoints and /proc: one that the scenario does not
// know of.
func (l *Lab) observing(t *Trial, c *observe.Call) bool {
	if name := observe.SyscallName(l.Kernel.Arch, c.Nr); name != "read" && name != "epoll_ctl" || len(c.Sleeps) > 0 {
		return false
	}
	return !slices.ContainsFunc(t.Result.Calls, func(l scenario.Line) bool {
		return l.TID == c.TID && l.Began <= c.Enter && c.Enter <= l.Ended
	})
}

// changes keeps those that calls of the scenario's threads made and that have
// a documented path.
func (t *Trial) changes(to *[]*observe.Change) func(*observe.Change) {
	return func(c *observe.Change) {
		if c.Path != "" && c.Context == match.Task && t.Ours(c.Event.TID) {
			*to = append(*to, c)
		}
	}
}

// noteCalls queries the kernel's code for each observed call, so that a
// recording shows which frames cannot be excused when absent.
func (t *Trial) noteCalls() {
	for _, w := range t.Wakes {
		if w.Seen == nil {
			continue
		}
		for _, c := range []*match.Chain{w.Seen.WakeChain, w.Seen.SleepChain} {
			if c == nil {
				continue
			}
			for _, s := range c.Steps {
				if s.Verdict == ktrace.Seen {
					t.text.Calls(s.Caller, s.Callee)
				}
			}
		}
	}
}

// conclude gives the trial's status: a finding of any chain is one of the
// trial, and so is one of an edge that no chain has, and a stated wake that
// went another way.
func (t *Trial) conclude() {
	lost := t.Lost()
	t.Status, t.Reason = OK, ""
	var findings []match.Step
	for _, c := range t.chains() {
		findings = append(findings, c.Findings()...)
	}
	for _, s := range append(findings, t.steps...) {
		if s.Verdict.Finding() {
			t.Status, t.Reason = Failed, fmt.Sprintf("%s -> %s %s: %s", s.Caller, s.Callee, s.Verdict, s.Evidence)
			return
		}
	}
	for i := range t.Wakes {
		if t.Status, t.Reason = t.Wakes[i].conclude(lost); t.Status != OK {
			return
		}
	}
	t.Status, t.Reason = t.disturbed()
}

// Tier names how much can be observed here.
func (l *Lab) Tier() string {
	if l.Denied != nil {
		return "nothing"
	}
	tier := []string{"tracepoints"}
	if l.Unwatched() == nil && (l.toWatch == 0 || l.unwatched < l.toWatch) {
		tier = append(tier, "watchpoints")
	}
	if l.witness != nil {
		tier = append(tier, l.witness.Name)
	}
	if n := len(tier) - 1; n > 0 {
		return strings.Join(tier[:n], ", ") + " and " + tier[n]
	}
	return tier[0]
}

// Unwatched is why no eventfd can be watched here, nil if one can, or could.
func (l *Lab) Unwatched() error {
	if l.watchable() || l.canWatch {
		return nil
	}
	return l.NoWatch
}

// watchable tries once whether eventfds can be watched here.
func (l *Lab) watchable() bool {
	if l.NoWatch == nil {
		if w := l.watch(&scenario.Scenario{}); w != nil {
			w.Close()
		}
	}
	return l.NoWatch == nil
}
