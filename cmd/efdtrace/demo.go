package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/render"
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
	scenarios, err := scenario.Find(true, fs.Args()...)
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace demo: %v\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l := lab.Open()
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
	tally map[ktrace.Verdict]int
}

// observed shows scenarios on a kernel that can be watched.
func (d *demonstration) observed(ctx context.Context, scenarios []*scenario.Scenario) int {
	d.tally = map[ktrace.Verdict]int{}
	d.intro(len(scenarios))
	status, conclusive := exitOK, false
	for i, s := range scenarios {
		t := d.lab.Run(ctx, s)
		if ctx.Err() != nil {
			return 130
		}
		d.text.Heading(fmt.Sprintf("%d of %d: %s", i+1, len(scenarios), s.Title))
		d.trial(t)
		switch t.Status {
		case lab.OK:
			conclusive = true
		case lab.Failed:
			status, conclusive = exitFinding, true
		}
	}
	d.outro()
	if !conclusive {
		return exitCannot
	}
	return status
}

func (d *demonstration) intro(n int) {
	t := d.text
	t.Printf("%s\n\n", t.Bold("Linux "+d.lab.Kernel.Release+", as it wakes a thread that waits for an eventfd"))
	t.Para("", "Each time one thread goes to sleep in a system call, and another writes to the eventfd that it waits for. "+
		"Below are their calls, and then the functions that the kernel ran, a caller above what it calls. The left column holds them against the kernel's documented path:")
	t.Printf("\n")
	for _, l := range []struct {
		v    ktrace.Verdict
		text string
	}{
		{ktrace.Seen, "it was on the call stack, called by the function above it"},
		{ktrace.Renamed, "the same, under the name that the compiler gave it"},
		{ktrace.TailCall, "documented, and not on the stack: its last act is a jump to the next function"},
		{ktrace.Inlined, "documented, and not on the stack: compiled into the function above it"},
	} {
		t.Legend(l.v, l.text)
	}
}

func (d *demonstration) trial(t *lab.Trial) {
	d.calls(t.Result)
	if t.Wake == nil {
		d.text.Printf("\n")
		d.text.Para("  ", fmt.Sprintf("%s: %s.", t.Status, strings.TrimSuffix(t.Reason, ".")))
		return
	}
	d.text.Printf("\n")
	d.text.Para("  ", sentence(t))
	if c := t.Wake.SleepChain; c != nil {
		d.chain(fmt.Sprintf("How thread %d fell asleep:", t.Result.Waiter), c)
	}
	if c := t.Wake.WakeChain; c != nil {
		d.chain(fmt.Sprintf("How thread %d woke it:", t.Result.Waker), c)
	}
	if t.Status != lab.OK {
		d.text.Para("  ", fmt.Sprintf("%s: %s", t.Status, t.Reason))
	}
}

// calls prints the calls as strace does.
func (d *demonstration) calls(r *scenario.Result) {
	d.text.Printf("\n")
	for _, c := range r.Calls {
		if c.After {
			continue
		}
		d.text.Hanging(fmt.Sprintf("  thread %d  ", c.TID), c.Text)
	}
}

// sentence says who woke whom.
func sentence(t *lab.Trial) string {
	w := t.Wake
	s := fmt.Sprintf("Thread %d's %s woke thread %d out of its %s", t.Result.Waker, w.WakerSyscall, t.Result.Waiter, w.WakeeSyscall)
	if t.Result.Object != "" {
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

func micro(ns int64) string {
	if ns >= int64(10*time.Millisecond) {
		return fmt.Sprintf("%.1f ms", float64(ns)/1e6)
	}
	return fmt.Sprintf("%.1f µs", float64(ns)/1e3)
}

func (d *demonstration) chain(title string, c *match.Chain) {
	d.text.Printf("\n  %s\n", d.text.Bold(title))
	for _, s := range c.Steps {
		d.tally[s.Verdict]++
	}
	d.text.Chain("  ", rows(c))
}

// rows turns a judged chain into what a reader sees: a line per function.
func rows(c *match.Chain) []render.Row {
	var out []render.Row
	if len(c.Steps) > 0 {
		out = append(out, render.Row{Function: c.Steps[0].Caller, Sentence: "Where the kernel is entered.", Common: true})
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

// common: how every system call comes in, and what schedule does in the end.
func common(function string) bool {
	switch function {
	case "do_syscall_64", "do_syscall_x64", "x64_sys_call", "el0_svc", "do_el0_svc", "el0_svc_common", "invoke_syscall", "__invoke_syscall",
		"__x64_sys_write", "__arm64_sys_write", "ksys_write", "vfs_write", "__schedule_loop", "__schedule", "trace_sched_switch":
		return true
	}
	return false
}

func (d *demonstration) outro() {
	var parts []string
	total := 0
	for _, v := range []ktrace.Verdict{ktrace.Seen, ktrace.Renamed, ktrace.TailCall, ktrace.Inlined, ktrace.Inconclusive, ktrace.Undocumented, ktrace.Contradicted} {
		n := d.tally[v]
		total += n
		if n > 0 || v == ktrace.Contradicted {
			parts = append(parts, render.Unbroken(fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(v), "_", " "))))
		}
	}
	d.text.Printf("\n")
	d.text.Para("", fmt.Sprintf("%d documented calls held against this kernel: %s.", total, strings.Join(parts, ", ")))
	d.text.Para("", "Every scenario and edge: efdtrace verify. The whole documented path of a call: efdtrace path ppoll. Your own program: efdtrace run -- PROGRAM.")
}

// documented shows what can be shown without observing: the calls, which are
// real, the documented paths, and what is missing.
func (d *demonstration) documented(ctx context.Context, scenarios []*scenario.Scenario) int {
	t := d.text
	t.Para("", fmt.Sprintf("%s One thread sleeps in a system call until another writes to the eventfd. The calls below are real, with their thread in front. The functions are those that this kernel is documented to run, a caller before what it calls.",
		t.Bold("Linux "+d.lab.Kernel.Release+".")))
	status := exitOK
	for _, s := range scenarios {
		r, err := s.Run(ctx, nil)
		if ctx.Err() != nil {
			return 130
		}
		head := fmt.Sprintf("%-10s ", s.Name)
		if err != nil {
			t.Hanging(head, err.Error())
			status = exitCannot
			continue
		}
		for _, c := range r.Calls {
			if !c.After && (c.TID == r.Waiter || c.Acts) {
				t.Hanging(fmt.Sprintf("%s %d ", head, c.TID), c.Text)
				head = strings.Repeat(" ", len(head))
			}
		}
		d.route(head+" asleep ", d.lab.Kernel.SleepRoute(s.Waiter, s.SleepPath), "")
		d.route(head+" woken  ", d.lab.Kernel.WakeRoute(s.Source, s.Waiter, s.Callbacks), s.Source)
	}
	t.Para("", "Not observed here: "+d.lab.Denied.Error()+" to see the kernel take these paths. efdtrace doctor says what can be seen with less.")
	return status
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
