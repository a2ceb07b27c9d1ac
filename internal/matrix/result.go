//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/matrix/wire"
	"github.com/efd-go/efd/internal/scenario"
)

// The outcomes of a kernel or of one of its steps.
const (
	statusOK      = "ok"
	statusFailed  = "failed"
	statusSkipped = "skipped"
)

// result holds the results of one kernel.
type result struct {
	Series  string `json:"series"`
	Arch    string `json:"arch"`
	Kernel  string `json:"kernel,omitempty"`
	Package string `json:"package,omitempty"` // its version
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Log     string `json:"log,omitempty"` // the last lines of a guest that was lost

	Boot    float64   `json:"boot_seconds"` // until its first process was ready
	Seconds float64   `json:"seconds"`
	Tests   []tests   `json:"tests,omitempty"`
	Verify  []verdict `json:"verify,omitempty"`
	Notes   []string  `json:"notes,omitempty"`

	// The counts of verify over all scenarios.
	Coverage *share `json:"coverage,omitempty"`
	Witness  *share `json:"witness,omitempty"`

	required []string // the required facilities: a scenario that is skipped for lack of one failed
}

// share is how many of the edges that could be shown were.
type share struct {
	Tracer   string     `json:"tracer,omitempty"`
	Absent   string     `json:"absent,omitempty"` // why there is no tracer
	Edges    int        `json:"edges"`
	Shown    int        `json:"shown,omitempty"` // by any source
	Saw      int        `json:"saw,omitempty"`   // by the tracer
	Open     []openEdge `json:"open,omitempty"`
	Apart    []openEdge `json:"apart,omitempty"`    // not counted: functions whose entry is not to be seen
	Disagree []openEdge `json:"disagree,omitempty"` // edges on which chains and tracer differ
}

// String is the share in per cent, "" if there is none.
func (s *share) String() string {
	if s == nil || s.Edges == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*float64(max(s.Shown, s.Saw))/float64(s.Edges))
}

// tests holds the results of one run of a test program.
type tests struct {
	Name    string   `json:"name"`
	Status  string   `json:"status"`
	Exit    int      `json:"exit"`
	Seconds float64  `json:"seconds"`
	Passed  int      `json:"passed"`
	Failed  []string `json:"failed,omitempty"`
	Once    []string `json:"once,omitempty"`    // that failed, before the whole ran once more
	Skipped []string `json:"skipped,omitempty"` // "TestX: why"
	Output  string   `json:"output,omitempty"`  // its end, if it failed
}

// verdict is one scenario of efdtrace verify.
type verdict struct {
	Name   string         `json:"name"`
	System int            `json:"system"`
	Status string         `json:"status"`
	Reason string         `json:"reason,omitempty"`
	Edges  map[string]int `json:"edges,omitempty"` // how many of each verdict
	Open   []openEdge     `json:"open,omitempty"`  // those that were neither seen nor on another branch
}

// openEdge is an edge that the kernel did not show, with the reason.
type openEdge struct {
	Caller   string `json:"caller"`
	Callee   string `json:"callee"`
	Verdict  string `json:"verdict,omitempty"`
	Evidence string `json:"evidence,omitempty"`

	// Of a share: the reason, the scenarios, and the verdict of each side.
	Reason    string   `json:"reason,omitempty"`
	Scenarios []string `json:"scenarios,omitempty"`
	Chains    string   `json:"chains,omitempty"`
	Tracer    string   `json:"tracer,omitempty"`
}

// testLine is a verdict of the testing package, nameLine names the test of the
// following output, and logLine is a log message of a test.
var (
	testLine = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+)`)
	nameLine = regexp.MustCompile(`^=== (?:RUN|NAME|CONT)\s+(\S+)`)
	logLine  = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)
	hungTest = regexp.MustCompile(`(?m)^panic: test timed out after .*\n\trunning tests:\n((?:\t\t.*\n)+)`)
)

// readTests reads the verbose output of a test program.
func readTests(name string, end wire.Frame, output string) tests {
	t := tests{Name: name, Status: statusOK, Exit: end.Status, Seconds: end.Seconds}
	current, said := "", map[string]string{} // by test, its last log message
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if m := nameLine.FindStringSubmatch(line); m != nil {
			current = m[1]
			continue
		}
		if m := logLine.FindStringSubmatch(line); m != nil {
			said[current] = m[1]
			continue
		}
		m := testLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch m[1] {
		case "PASS":
			t.Passed++
		case "FAIL":
			t.Failed = append(t.Failed, m[2])
		case "SKIP":
			t.Skipped = append(t.Skipped, m[2]+": "+said[m[2]])
		}
	}
	if end.Status != 0 {
		t.Status = statusFailed
		t.Output = failures(output)
		if m := hungTest.FindStringSubmatch(output); m != nil {
			names := strings.Join(strings.Fields(m[1]), " ")
			t.Failed = append(t.Failed, names)
			t.Output = "out of time in " + names + "\n" + t.Output
		} else if name := running(output); name != "" {
			t.Failed = append(t.Failed, name)
			t.Output = "ended in " + name + "\n" + t.Output
		}
		if end.Status == wire.TimedOut {
			t.Output += "\nthe time of this step was up"
		}
		if end.Text != "" {
			t.Output += "\n" + end.Text
		}
	}
	return t
}

// readCommand counts a command as a test.
func readCommand(end wire.Frame, output string) tests {
	t := readTests(end.Step, end, output)
	if t.Status == statusOK {
		t.Passed = 1
	} else {
		t.Failed = append(t.Failed, end.Step)
	}
	return t
}

// running is the test that began last of those that have not ended, "" if all
// have.
func running(output string) string {
	var open []string
	for line := range strings.Lines(output) {
		if name, ok := strings.CutPrefix(line, "=== RUN   "); ok {
			open = append(open, strings.TrimSpace(name))
		} else if m := testLine.FindStringSubmatch(line); m != nil {
			open = slices.DeleteFunc(open, func(name string) bool { return name == m[2] })
		}
	}
	if len(open) == 0 {
		return ""
	}
	return open[len(open)-1]
}

// dump matches the start of a goroutine dump.
var dump = regexp.MustCompile(`(?m)^(?:SIGQUIT|panic|fatal error): `)

// failures returns the output of a failed test program, without the tests that
// passed or were skipped. Of goroutines it has those that are in the module's
// code.
func failures(output string) string {
	var goroutines []string
	if at := dump.FindStringIndex(output); at != nil {
		all := strings.Split(output[at[0]:], "\n\n")
		output = output[:at[0]] + all[0]
		for _, g := range all[1:] {
			if strings.Contains(g, "/efd") {
				goroutines = append(goroutines, firstLines(g, 16))
			}
		}
	}
	var b strings.Builder
	for line := range strings.Lines(output) {
		if m := testLine.FindStringSubmatch(line); nameLine.MatchString(line) || m != nil && m[1] != "FAIL" {
			continue
		}
		b.WriteString(line)
	}
	text := lastLines(b.String(), 60)
	if goroutines == nil {
		return text
	}
	return lastLines(text, 20) + "\n\n" + firstLines(strings.Join(goroutines, "\n\n"), 100)
}

func firstLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// report is the JSON that efdtrace verify prints.
type report struct {
	Scenarios []struct {
		Name   string     `json:"name"`
		System int        `json:"system"`
		Status string     `json:"status"`
		Reason string     `json:"reason"`
		Edges  []openEdge `json:"edges"`
	} `json:"scenarios"`
	Coverage *share `json:"coverage"`
	Witness  *share `json:"witness"`
}

// settled are the verdicts that leave nothing to look at.
var settled = map[string]bool{"seen": true, "renamed": true, "inlined": true, "not_taken": true}

// readVerify reads the output of efdtrace verify -json.
func (r *result) readVerify(output []byte) error {
	var rep report
	if err := json.Unmarshal(output, &rep); err != nil {
		return err
	}
	r.Coverage, r.Witness, r.Verify = rep.Coverage, rep.Witness, nil
	for _, s := range rep.Scenarios {
		v := verdict{Name: s.Name, System: s.System, Status: s.Status, Reason: s.Reason, Edges: map[string]int{}}
		if v.Status == statusSkipped && slices.Contains(r.required, v.Name) {
			v.Status, v.Reason = statusFailed, "this kernel has it, and it was skipped: "+v.Reason
		}
		for _, e := range s.Edges {
			v.Edges[e.Verdict]++
			if !settled[e.Verdict] {
				v.Open = append(v.Open, e)
			}
		}
		if n := v.Edges["contradicted"] + v.Edges["undocumented"]; n > 0 && v.Status == statusOK {
			v.Status, v.Reason = statusFailed, fmt.Sprintf("%d findings", n)
		}
		r.Verify = append(r.Verify, v)
	}
	if r.Verify == nil {
		return nil // verify itself failed
	}
	for _, name := range scenario.Names() {
		if slices.Contains(r.required, name) && !slices.ContainsFunc(r.Verify, func(v verdict) bool { return v.Name == name }) {
			r.Verify = append(r.Verify, verdict{Name: name, Status: statusFailed, Reason: "supported by this kernel but missing from verify's output"})
		}
	}
	return nil
}

// finish sets the status of a kernel from its parts.
func (r *result) finish() {
	if r.Status != "" {
		return
	}
	r.Status = statusOK
	var bad []string
	for _, t := range r.Tests {
		if t.Status != statusOK {
			bad = append(bad, t.Name)
		}
	}
	for _, v := range r.Verify {
		if v.Status == statusFailed {
			bad = append(bad, "scenario "+v.Name)
		}
	}
	if why := r.unwitnessed(); why != "" {
		bad = append(bad, why)
	}
	if s := r.sums(); s.unsure*100 > (s.ok+s.bad+s.unsure)*mayBeUnsure {
		bad = append(bad, fmt.Sprintf("%d of its scenarios inconclusive, more than %d %%", s.unsure, mayBeUnsure))
	}
	if len(bad) > 0 {
		r.Status, r.Reason = statusFailed, strings.Join(bad, ", ")
	}
}

// mayBeUnsure is how many of the scenarios that ran may stay inconclusive, in
// per cent: if the host is loaded an emulated processor loses records.
const mayBeUnsure = 10

// wantSeen is the least that the function tracer has to see, in per cent.
const wantSeen = 98

// unwitnessed describes the gap if verify lacks a function tracer that the
// kernel has.
func (r *result) unwitnessed() string {
	w := r.Witness
	switch {
	case len(r.Verify) == 0 || !slices.Contains(r.required, "ftrace"):
		return ""
	case w == nil || w.Absent != "" || w.Edges == 0:
		return "no function tracer in verify"
	case w.Saw*100 < w.Edges*wantSeen:
		return fmt.Sprintf("the function tracer saw %d of %d, less than %d %%", w.Saw, w.Edges, wantSeen)
	}
	return ""
}

// sums of a kernel, for the table.
type sums struct {
	passed, failed, skipped int // tests
	ok, bad, left, unsure   int // scenarios: left are the skipped ones, unsure the inconclusive
	edges                   map[string]int
}

func (r *result) sums() sums {
	s := sums{edges: map[string]int{}}
	for _, t := range r.Tests {
		s.passed += t.Passed
		s.failed += len(t.Failed)
		s.skipped += len(t.Skipped)
	}
	for _, v := range r.Verify {
		switch v.Status {
		case statusOK:
			s.ok++
		case statusFailed:
			s.bad++
		case statusSkipped:
			s.left++
		default:
			s.unsure++
		}
		for k, n := range v.Edges {
			s.edges[k] += n
		}
	}
	return s
}
