//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/render"
	"github.com/efd-go/efd/internal/plain"
	"github.com/efd-go/efd/internal/scenario/lab"
)

var verifyCommand = command{name: "verify", args: "[-json] [-v] [-list] [-o FILE [-format F] [-anonymous]] [SCENARIO…]", short: "run the scenarios on this kernel and give the verdict per edge of their paths", more: verifyMore}

const verifyMore = `System is the part of the kernel that a scenario is of: 1 eventfd2, 2 an eventfd's
read, 3 its write, 4 AIO, 5 io_uring, 6 KVM's ioeventfd, 7 KVM's irqfd, 8 vhost,
9 select, 10 poll, 11 the wake of a poller, 12 epoll, 13 time-outs, 14 signals, 15 drivers
(terminals, input), 16 TCP, 17 what else can be waited on, 18 try_to_wake_up.
Coverage is the share of edges with the verdict seen, renamed, tail_call or inlined
among those of the branches taken for which a source exists here.
  An edge is of the branches taken where its caller is known to have run, and the edge
  is on no branch, or on one of which another edge was shown. A call through a
  pointer is, where what it leads to is known to have run.
  A source exists for an edge that was shown; and where its callee is traced by the
  function tracer, or always comes to a tracepoint or to memory that is watched in the
  run, or is not a function of its own there: no symbol of this kernel, or one that the
  caller's code goes nowhere to. The others are counted apart: of a leaf function on a
  kernel that refuses the function tracer nothing is known.
  Not taken is what the function tracer shows not to have been entered, and the branch
  of another machine. That no event came is no proof: a walk of a queue on which nobody
  sleeps leaves none.
Witness is the share that the function tracer saw of the calls of the branches taken
between functions that it can trace. Calls to functions that it cannot trace, or that
are compiled into their callers, are named apart from it.`

func init() {
	verifyCommand.run = verify
	commands = append(commands, verifyCommand)
}

// The JSON of verify is a contract.
type verifyJSON struct {
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	Tier   string `json:"tier"`

	Unobservable []string `json:"unobservable,omitempty"` // what cannot be had here, and why

	Coverage  figureJSON     `json:"coverage"`
	Witness   witnessJSON    `json:"witness"`
	Scenarios []scenarioJSON `json:"scenarios"`
}

type scenarioJSON struct {
	Name   string     `json:"name"`
	System int        `json:"system"`
	Status lab.Status `json:"status"`
	Reason string     `json:"reason"`
	Edges  []edgeJSON `json:"edges"`

	Coverage *coveredJSON   `json:"coverage,omitempty"` // absent where no wake-up was judged
	Witness  *witnessedJSON `json:"witness,omitempty"`
}

type edgeJSON struct {
	Caller   string         `json:"caller"`
	Callee   string         `json:"callee"`
	Verdict  ktrace.Verdict `json:"verdict"`
	Evidence string         `json:"evidence"`
	Nth      int            `json:"nth,omitempty"` // 2: the second such call on its chain
}

func verify(e *env, args []string) int {
	fs := flag.NewFlagSet("verify", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "write one JSON object")
	list := fs.Bool("list", false, "list the scenarios")
	all := fs.Bool("v", false, "show every edge, not only the findings")
	out := fs.String("o", "", "write what was observed to `FILE`; a recording is compressed where its name ends in .gz")
	anonymous := fs.Bool("anonymous", false, anonymousUsage)
	noTracer := fs.Bool("no-tracer", false, "leave the kernel's function tracer alone")
	format := fs.String("format", "", "`form` of FILE: "+strings.Join(formats, ", ")+" (default recording)")
	if status, ok := parse(e, fs, verifyCommand, "efdtrace verify -v ppoll", args); !ok {
		return status
	}
	scenarios, err := scenarios(false, fs.Args())
	if err == nil {
		err = checkSink(*out, *format)
	}
	if err == nil && *anonymous && (*out == "" || *format != "" && *format != "recording") {
		err = errors.New("-anonymous is for a recording: -o FILE")
	}
	if err != nil {
		fmt.Fprintf(e.stderr, "efdtrace verify: %v\n", err)
		return exitUsage
	}
	if *list {
		for _, s := range scenarios {
			fmt.Fprintf(e.stdout, "%-18s %2d  %s\n", s.Name, s.System, s.Title)
		}
		return exitOK
	}
	ctx, stop := untilSignal()
	defer stop()
	var file *outFile
	if *out != "" {
		if file, err = e.createOut(ctx, *out); err != nil {
			fmt.Fprintf(e.stderr, "efdtrace verify: %v\n", err)
			return cannot(ctx)
		}
	}
	v := newVerification(e, *noTracer)
	defer v.lab.Close()
	k, err := newSink(e, v.lab, file, *format, recordOptions(*anonymous), scenarios)
	if err != nil {
		file.abandon()
		fmt.Fprintf(e.stderr, "efdtrace verify: %v\n", err)
		return cannot(ctx)
	}
	for i, s := range scenarios {
		v.progress(fmt.Sprintf("%d of %d: %s", i+1, len(scenarios), s.Name))
		t := v.lab.Run(ctx, s)
		if ctx.Err() != nil {
			v.progress("")
			fmt.Fprintln(e.stderr, errors.Join(fmt.Errorf("efdtrace verify: %w", context.Cause(ctx)), err, k.close()))
			return endedBy(ctx)
		}
		v.add(t)
		err = errors.Join(err, k.add(t))
		if !*asJSON {
			v.progress("")
			v.show(t, *all)
		}
	}
	v.progress("")
	v.finish()
	err = errors.Join(err, k.close(), v.lab.Close())
	if err = errors.Join(context.Cause(ctx), err); err != nil {
		fmt.Fprintf(e.stderr, "efdtrace verify: %v\n", err)
		return cannot(ctx)
	}
	if *asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.Encode(v.out)
	} else {
		v.summary()
	}
	return v.status()
}

// progress returns a function that shows what is being done, on a terminal.
func progress(w io.Writer) func(string) {
	if !isTerminal(w) {
		return func(string) {}
	}
	return func(s string) { fmt.Fprintf(underlying(w), "\r\x1b[K%s", plain.Text(s)) }
}

// verification is one run of verify.
type verification struct {
	lab      *lab.Lab
	text     *render.Text
	progress func(string)
	out      verifyJSON
}

func newVerification(e *env, noTracer bool) *verification {
	v := &verification{lab: lab.Open(), text: render.NewText(e.stdout, colour(e.stdout)), progress: progress(e.stderr)}
	if noTracer {
		v.out.Witness.Absent = "it was asked for without"
	} else if v.lab.Trace(); v.lab.NoTrace != nil {
		v.out.Witness.Absent = v.lab.NoTrace.Error()
	}
	v.out.Kernel, v.out.Arch, v.out.Tier = v.lab.Kernel.Release, v.lab.Kernel.Arch, v.lab.Tier()
	v.out.Unobservable = v.lab.Without()
	v.out.Witness.Tracer, v.out.Witness.Functions = v.lab.Tracer(), v.lab.Functions()
	v.out.Coverage.Open = []openJSON{}
	return v
}

func (v *verification) add(t *lab.Trial) {
	s := scenarioJSON{Name: t.Scenario.Name, System: t.Scenario.System, Status: t.Status, Reason: t.Reason, Edges: stepsJSON(t.Edges())}
	v.count(t, &s)
	v.out.Scenarios = append(v.out.Scenarios, s)
}

func stepsJSON(steps []match.Step) []edgeJSON {
	edges := []edgeJSON{}
	for _, s := range steps {
		edges = append(edges, edgeJSON{s.Caller, s.Callee, s.Verdict, s.Evidence, s.Nth})
	}
	return edges
}

// show prints the scenario that was added last.
func (v *verification) show(t *lab.Trial, all bool) {
	s := v.out.Scenarios[len(v.out.Scenarios)-1]
	if len(v.out.Scenarios) == 1 {
		v.text.Printf("%-12s %6s  %-18s %s\n", "status", "system", "scenario", "what became of the edges of its documented paths")
	}
	line := fmt.Sprintf("%-12s %6d  %-18s", s.Status, s.System, s.Name)
	if t.Wake != nil {
		line += " " + counts(s.Edges)
		if l := t.Wake.Latency(); l >= 0 {
			line += ", woken in " + micro(l)
		}
	}
	v.text.Printf("%s\n", strings.TrimRight(line, " "))
	if s.Reason != "" && !v.denied(s.Reason) {
		v.text.Para("    ", s.Reason)
	}
	v.beside(t)
	for _, e := range s.Edges {
		if all || e.Verdict.Finding() {
			v.text.Printf("    %-14s %s -> %s\n", e.Verdict, e.Caller, e.Callee)
			v.text.Para(fmt.Sprintf("    %-14s   ", ""), e.Evidence)
		}
	}
}

// denied reports whether the reason is that nothing can be observed here, and a
// scenario before the last had it too.
func (v *verification) denied(reason string) bool {
	if v.lab.Denied == nil || reason != v.lab.Denied.Error() {
		return false
	}
	before := v.out.Scenarios[:len(v.out.Scenarios)-1]
	return slices.ContainsFunc(before, func(s scenarioJSON) bool { return s.Reason == reason })
}

// beside shows what else a trial brought: further wakes, and who was left
// asleep.
func (v *verification) beside(t *lab.Trial) {
	if t.Result == nil || t.Wake == nil {
		return
	}
	for _, w := range t.Wakes[1:] {
		if w.Seen != nil {
			v.text.Para("    ", "also: "+sentence(t, w.Seen))
		}
	}
	for _, r := range t.Remarks() {
		v.text.Para("    ", r)
	}
}

// legend says what the verdicts mean that were counted.
func (v *verification) legend() {
	v.text.Para("", "An edge is a documented call. seen, renamed: an observed call chain has it, renamed under a compiler's name. tail call, inlined: it leaves no frame, for a cause that was found: a jump, or compiled into its caller. not taken: it is another machine's, or the function tracer shows that it was not. not observable: nothing here tells of it; -v says why. Of these none is a finding: only contradicted and undocumented are.")
}

// verdicts in the order in which they are counted.
var verdicts = []ktrace.Verdict{ktrace.Seen, ktrace.Renamed, ktrace.TailCall, ktrace.Inlined, ktrace.NotTaken, ktrace.NotObservable, ktrace.Inconclusive, ktrace.Undocumented, ktrace.Contradicted}

func counts(edges []edgeJSON) string {
	n := map[ktrace.Verdict]int{}
	for _, e := range edges {
		n[e.Verdict]++
	}
	var parts []string
	for _, v := range verdicts {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], strings.ReplaceAll(string(v), "_", " ")))
		}
	}
	return strings.Join(parts, ", ")
}

func (v *verification) summary() {
	n := map[lab.Status]int{}
	var edges []edgeJSON
	for _, s := range v.out.Scenarios {
		n[s.Status]++
		edges = append(edges, s.Edges...)
	}
	v.text.Printf("\n")
	with := v.out.Tier
	if v.lab.Denied != nil {
		with = "not observed"
	}
	text := fmt.Sprintf("Linux %s %s, %s: %s ok, %d failed, %d inconclusive, %d skipped.",
		v.out.Kernel, v.out.Arch, with, count.Of(n[lab.OK], "scenario"), n[lab.Failed], n[lab.Inconclusive], n[lab.Skipped])
	if len(edges) > 0 {
		text += " Edges: " + counts(edges) + "."
	}
	v.text.Para("", text)
	if len(edges) > 0 {
		v.legend()
	}
	v.figures()
	for _, w := range v.out.Unobservable {
		v.text.Para("", "Not observable: "+plain.Text(w)+".")
	}
	if v.lab.Denied != nil {
		v.text.Para("", "What is missing: "+v.lab.Denied.Error()+".")
	}
}

func (v *verification) status() int {
	conclusive := false
	for _, s := range v.out.Scenarios {
		switch s.Status {
		case lab.Failed:
			return exitFinding
		case lab.OK:
			conclusive = true
		}
	}
	if !conclusive {
		return exitCannot
	}
	return exitOK
}
