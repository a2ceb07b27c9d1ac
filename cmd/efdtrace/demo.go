//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/ktrace/route"
	"github.com/efd-go/efd/internal/plain"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
)

var demoCommand = command{name: "demo", args: "[SCENARIO…]", short: "make real calls on the running kernel and show the path that each takes"}

func init() {
	demoCommand.run = demo
	commands = append(commands, demoCommand)
}

func demo(e *env, args []string) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	if status, ok := parse(e, fs, demoCommand, "efdtrace demo ppoll epoll_wait", args); !ok {
		return status
	}
	scenarios, err := scenarios(true, fs.Args())
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace demo: %v\n", err)
		return exitUsage
	}
	ctx, stop := untilSignal()
	defer stop()
	l := lab.Open()
	defer l.Close()
	d := &demonstration{lab: l, text: render.NewText(e.stdout, colour(e.stdout))}
	if l.Denied != nil {
		return d.documented(ctx, scenarios)
	}
	return d.observed(ctx, scenarios)
}

// demonstration is one run of demo.
type demonstration struct {
	lab   *lab.Lab
	text  *render.Text
	tally map[[2]string]ktrace.Verdict // by caller and callee
}

// observed shows scenarios on a kernel that can be watched.
func (d *demonstration) observed(ctx context.Context, scenarios []*scenario.Scenario) int {
	d.tally = map[[2]string]ktrace.Verdict{}
	d.intro(scenarios)
	status := exitOK
	for i, s := range scenarios {
		t := d.lab.Run(ctx, s)
		if ctx.Err() != nil {
			return endedBy(ctx)
		}
		d.text.Heading(fmt.Sprintf("%d of %d: %s", i+1, len(scenarios), s.Title))
		d.trial(t)
		if t.Status == lab.Failed {
			status = exitFinding
		}
	}
	d.outro()
	return status
}

func (d *demonstration) intro(scenarios []*scenario.Scenario) {
	t := d.text
	head, act := "as it wakes a thread that waits for an eventfd", "another writes to the eventfd that it waits for"
	if slices.ContainsFunc(scenarios, func(s *scenario.Scenario) bool { return !s.Demo }) {
		head, act = "as it wakes the waiter", "something ends its wait"
	}
	t.Printf("%s\n\n", t.Bold("Linux "+d.lab.Kernel.Release+", "+head))
	t.Para("", "Each time one thread goes to sleep in a system call, and "+act+". "+
		"Below are the calls, as strace -f prints them, and then the functions that the kernel ran, a caller above what it calls. The left column compares them with the kernel's documented path:")
	t.Printf("\n")
	d.legend()
}

func (d *demonstration) trial(t *lab.Trial) {
	d.calls(t.Result)
	if t.Wake == nil {
		d.text.Printf("\n")
		d.text.Para("  ", fmt.Sprintf("%s: %s.", t.Status, strings.TrimSuffix(plain.Text(t.Reason), ".")))
		d.text.Para("  ", "Documented:")
		d.documentedRoutes("  ", t.Scenario, t.Result)
		return
	}
	shown := map[string]bool{}
	for i := range t.Wakes {
		if w := t.Wakes[i].Seen; w != nil {
			d.wake(t, w, shown)
		}
	}
	for _, r := range t.Remarks() {
		d.text.Printf("\n")
		d.text.Para("  ", r)
	}
	if t.Status != lab.OK {
		d.text.Para("  ", fmt.Sprintf("%s: %s", t.Status, t.Reason))
	}
}

// wake shows one wake, and those of its ways that were not shown before.
func (d *demonstration) wake(t *lab.Trial, w *observe.Judged, shown map[string]bool) {
	d.text.Printf("\n")
	d.text.Para("  ", sentence(t, w))
	sleep := fmt.Sprintf("How thread %d fell asleep:", w.Wakee.TID)
	woken := fmt.Sprintf("How thread %d was woken:", w.Wakee.TID)
	if t.Scenario.Worker {
		woken = "How it was woken:"
	}
	same := true
	for _, c := range []struct {
		title string
		chain *match.Chain
	}{{sleep, w.SleepChain}, {woken, w.WakeChain}} {
		if c.chain == nil {
			continue
		}
		before, after := queued(t.Scenario), []part(nil)
		if c.chain == w.WakeChain {
			before, after = nil, afterwards(t.Scenario)
		}
		key := steps(c.chain)
		if !shown[key] || len(c.chain.Findings()) > 0 {
			for _, p := range before {
				d.part(t, p, nil)
			}
			d.chain(c.title, c.chain)
			for _, p := range after {
				d.part(t, p, w.SleepChain)
			}
			same = false
		}
		shown[key] = true
	}
	if same {
		d.text.Para("  ", "It fell asleep and was woken on the ways above, with the same verdicts.")
	}
}

// steps distinguishes two ways.
func steps(c *match.Chain) string {
	var b strings.Builder
	for _, s := range c.Steps {
		fmt.Fprintf(&b, "%s %s %s\n", s.Caller, s.Callee, s.Verdict)
	}
	return b.String()
}

// sentence names the waker and the wakee.
func sentence(t *lab.Trial, w *observe.Judged) string {
	s := waker(w) + " woke "
	if t.Scenario.Worker {
		s += "a task of the kernel's own, " + w.Wakee.Comm + ","
	} else {
		s += fmt.Sprintf("thread %d out of its %s", w.Wakee.TID, w.WakeeSyscall)
	}
	switch {
	case t.Result.Object == "":
	case t.Scenario.Worker:
		s += " by " + t.Result.Object
	default:
		s += " on " + t.Result.Object
	}
	switch len(w.Callbacks) {
	case 0:
	case 1:
		s += ", through " + w.Callbacks[0]
	default:
		s += ", through " + strings.Join(w.Callbacks[:len(w.Callbacks)-1], ", ") + " and then " + w.Callbacks[len(w.Callbacks)-1]
	}
	if l := w.Latency(); l >= 0 {
		s += fmt.Sprintf(". It ran again %s later", micro(l))
	}
	return s + "."
}

// waker names the wake source: a thread by its call, and any other by its
// context.
func waker(w *observe.Judged) string {
	switch {
	case w.Context == match.HardIRQ:
		return "An interrupt"
	case w.Context == match.KWorker:
		return "The kernel's worker thread " + w.Waker.Comm
	case w.RanIn():
		return fmt.Sprintf("A softirq, which ran in thread %d (%s),", w.Waker.TID, w.Waker.Comm)
	case w.Context == match.SoftIRQ && (w.Interrupted || w.WakerSyscall == ""):
		return "A softirq"
	case w.Context == match.SoftIRQ:
		return fmt.Sprintf("A softirq at the end of thread %d's %s", w.Waker.TID, w.WakerSyscall)
	case w.WakerSyscall == "":
		return fmt.Sprintf("Thread %d", w.Waker.TID)
	}
	return fmt.Sprintf("Thread %d's %s", w.Waker.TID, w.WakerSyscall)
}

func micro(ns int64) string {
	if ns >= int64(time.Millisecond) {
		return fmt.Sprintf("%.1f ms", float64(ns)/1e6)
	}
	return fmt.Sprintf("%.1f µs", float64(ns)/1e3)
}

func (d *demonstration) chain(title string, c *match.Chain) {
	d.text.Printf("\n  %s\n", d.text.Bold(title))
	lines := rows(c)
	for i, r := range lines[1:] {
		d.count(c.Steps[i], r.Verdict)
	}
	d.text.Chain("  ", lines)
}

// count counts an edge once, by the sign that it was shown with; one that was
// seen in any place is seen.
func (d *demonstration) count(s match.Step, v ktrace.Verdict) {
	e := [2]string{s.Caller, s.Callee}
	if old, ok := d.tally[e]; !ok || old == render.Documented || v.Finding() {
		d.tally[e] = v
	}
}

// rows converts a judged chain to the lines of the picture: one per function.
func rows(c *match.Chain) []render.Row {
	var out []render.Row
	if len(c.Steps) > 0 {
		out = append(out, firstRow(c.Steps[0].Caller))
	}
	for _, s := range c.Steps {
		r := render.Row{Verdict: s.Verdict, Function: s.Callee, Symbol: s.Symbol, Sentence: s.Note, Common: common(s.Callee)}
		switch {
		case s.Verdict.Finding() || s.Verdict == ktrace.Inconclusive:
			r.Cause = s.Evidence
		case s.Symbol == "":
			r.Cause = s.Why
		case s.Verdict == ktrace.Renamed:
			r.Cause = "as " + s.Symbol
		default:
			// Reached by a jump, or from a body that is compiled into another: it
			// has its own frame all the same.
			r.Verdict = ktrace.Seen
		}
		out = append(out, r)
	}
	return out
}

// firstRow is the first line of a way: most begin where the kernel is entered, and
// an interrupt's or a worker's where its documented part does.
func firstRow(function string) render.Row {
	if catalog.DefaultModel().Is(catalog.Entry, function) {
		return render.Row{Function: function, Sentence: "Where the kernel is entered.", Common: true}
	}
	return render.Row{Function: function, Sentence: "Where the documented path begins."}
}

// common reports whether a function is part of every system call's entry, or of
// schedule's end.
func common(function string) bool {
	m := catalog.DefaultModel()
	return m.Is(catalog.Entry, function) || m.InTable(function) == "write" || m.Is(catalog.Always, function)
}

func (d *demonstration) outro() {
	var parts []string
	n := map[ktrace.Verdict]int{}
	for _, v := range d.tally {
		n[v]++
	}
	for _, v := range []ktrace.Verdict{ktrace.Seen, ktrace.Renamed, ktrace.TailCall, ktrace.Inlined, ktrace.Inconclusive, ktrace.Undocumented, ktrace.Contradicted} {
		n := n[v]
		if n > 0 || v == ktrace.Contradicted {
			parts = append(parts, render.Unbroken(fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(v), "_", " "))))
		}
	}
	d.text.Printf("\n")
	text := fmt.Sprintf("%s held against this kernel, each counted once: %s.", count.Of(len(d.tally)-n[render.Documented], "documented call"), strings.Join(parts, ", "))
	if n := n[render.Documented]; n > 0 {
		text += " " + count.Of(n, "more is documented alone.", "more are documented alone.")
	}
	d.text.Para("", text)
	d.text.Para("", "Every scenario and edge: efdtrace verify. The whole documented path of a call: efdtrace path ppoll. Your own program: efdtrace run -- PROGRAM.")
}

// documented shows the parts that need no observation: the calls, which are
// real, the documented paths, and the missing requirements.
func (d *demonstration) documented(ctx context.Context, scenarios []*scenario.Scenario) int {
	t := d.text
	t.Para("", t.Bold("Linux "+d.lab.Kernel.Release+".")+" "+documentedIntro(scenarios))
	for _, s := range scenarios {
		r, err := s.Run(ctx, nil)
		if ctx.Err() != nil {
			return endedBy(ctx)
		}
		head := fmt.Sprintf("%-10s ", s.Name)
		if !byWrite(s) && len(scenarios) > 1 {
			t.Hanging(head, sentenceCase(s.Title)+".")
			head = strings.Repeat(" ", len(head))
		}
		if err != nil {
			t.Hanging(head, plain.Text(err.Error()))
		} else {
			d.wakers(head, r)
		}
		d.documentedRoutes(strings.Repeat(" ", len(head)), s, r)
	}
	t.Para("", "Not observed here: "+d.lab.Denied.Error()+". efdtrace doctor lists the tiers that need less.")
	return exitOK
}

// documentedRoutes shows the documented ways of a scenario.
func (d *demonstration) documentedRoutes(head string, s *scenario.Scenario, r *scenario.Result) {
	d.routes(head, queued(s))
	d.route(head+" asleep ", route.Sleep(d.lab.Kernel, r.WaiterCall(s.Waiter), s.SleepPath), "")
	d.route(head+" woken  ", route.Wake(d.lab.Kernel, s.Source, s.Waiter, s.Through, s.Branches), s.Source)
	d.routes(head, afterwards(s))
}

// byWrite reports whether a write to the awaited eventfd wakes.
func byWrite(s *scenario.Scenario) bool { return s.Source == "eventfd_write" }

// documentedIntro describes the scenarios and the functions that are shown.
func documentedIntro(scenarios []*scenario.Scenario) string {
	act := "One thread sleeps in a system call until an event ends its wait, which the line of the scenario names."
	switch {
	case !slices.ContainsFunc(scenarios, func(s *scenario.Scenario) bool { return !byWrite(s) }):
		act = "One thread sleeps in a system call until another writes to the eventfd."
	case len(scenarios) == 1:
		act = sentenceCase(scenarios[0].Title) + "."
	}
	shown := []string{"how the thread falls asleep", "how it is woken"}
	if slices.ContainsFunc(scenarios, func(s *scenario.Scenario) bool { return len(queued(s)) > 0 }) {
		shown = append([]string{"how the callback is queued on the eventfd"}, shown...)
	}
	then := ""
	if slices.ContainsFunc(scenarios, func(s *scenario.Scenario) bool { return len(afterwards(s)) > 0 }) {
		then = ", and the rest of its call"
	}
	if then == "" {
		shown[len(shown)-1] = "and " + shown[len(shown)-1]
	}
	return act + " The calls below are real, with their thread in front. The functions are those that this kernel is documented to run, a caller before what it calls: " + strings.Join(shown, ", ") + then + "."
}

// sentenceCase begins with a capital letter.
func sentenceCase(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// route prints a documented way as a line of functions, from one of them on.
func (d *demonstration) route(head string, edges []ktrace.Edge, from string) {
	if len(edges) == 0 {
		return
	}
	names := []string{edges[0].Caller}
	for _, e := range edges {
		if e.Callee == from {
			names = nil
		}
		names = append(names, e.Callee)
	}
	d.text.Hanging(head, strings.Join(names, " > "))
}
