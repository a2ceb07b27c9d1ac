//go:build linux

package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
)

const untilKilled = "EFD_TEST_TRACE_UNTIL_KILLED"

func TestMain(m *testing.M) {
	if os.Getenv(untilKilled) != "" {
		l := lab.Open()
		l.Trace()
		s, err := scenario.Find(false, "ppoll")
		for err = errors.Join(err, l.NoTrace); err == nil; {
			t := l.Run(context.Background(), s[0])
			fmt.Println(t.Status)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	debug.SetGCPercent(200) // all recordings are in memory, and are judged thousands of times
	os.Exit(m.Run())
}

// tracing opens a lab with the function tracer, or ends the test.
func tracing(t *testing.T) *lab.Lab {
	t.Helper()
	l := open(t)
	l.Trace()
	if a, ok := errors.AsType[*ktrace.AccessError](l.NoTrace); ok {
		testenv.Require(t, a.Tier, l.NoTrace)
	}
	if l.NoTrace != nil {
		t.Fatal(l.NoTrace)
	}
	return l
}

// instances lists those of this project in tracefs.
func instances(t *testing.T) []string {
	t.Helper()
	fs, err := tracefs.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	names, err := fs.ReadDir("instances")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "efdtrace-") })
}

// A process that is killed while it traces leaves an instance, and the next
// one that traces removes it.
func TestKilledWhileTracing(t *testing.T) {
	tracing(t).Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), untilKilled+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, cmd)
	in := bufio.NewScanner(out)
	for range 2 {
		if !in.Scan() || in.Text() != string(lab.OK) {
			t.Errorf("the child says %q", in.Text())
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	left := func(n string) bool { return strings.HasPrefix(n, fmt.Sprintf("efdtrace-%d-", cmd.Process.Pid)) }
	if !slices.ContainsFunc(instances(t), left) {
		t.Fatal("the killed process left no instance, so this shows nothing")
	}
	l := tracing(t)
	if names := instances(t); slices.ContainsFunc(names, left) {
		t.Errorf("the killed process's instance is still there: %v", names)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if names := instances(t); slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, fmt.Sprintf("efdtrace-%d-", os.Getpid())) }) {
		t.Errorf("left in tracefs: %v", names)
	}
}

// What call chains cannot show, the function tracer sees.
func TestTracedScenarios(t *testing.T) {
	l := tracing(t)
	for name, want := range map[string][2]string{
		"ppoll":      {"__pollwait", "add_wait_queue"},
		"epoll_wait": {"ep_ptable_queue_proc", "add_wait_queue"},
		"read":       {"__wake_up_locked_key", "__wake_up_common"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := scenario.Find(false, name)
			if err != nil {
				t.Fatal(err)
			}
			tr := l.Run(context.Background(), s[0])
			if tr.Status != lab.OK {
				t.Fatalf("%s: %s", tr.Status, tr.Reason)
			}
			i := slices.IndexFunc(tr.Edges(), func(s match.Step) bool { return s.Caller == want[0] && s.Callee == want[1] })
			if i < 0 || tr.Edges()[i].Verdict != ktrace.Seen {
				t.Errorf("%s -> %s: %+v", want[0], want[1], tr.Edges()[max(i, 0)])
			}
			if w, _ := match.TracerCoverage(tr.Edges()); w.Edges < 10 || w.Shown*100 < w.Edges*98 {
				t.Errorf("the tracer saw %d of %d: %v", w.Shown, w.Edges, w.Open)
			}
		})
	}
}

// traced are the recorded trials that the function tracer took part in: each
// of them, or one in several.
func traced(t *testing.T, every int, fn func(t *testing.T, p *taped)) {
	testenv.Tree(t, "../../../testdata/recordings", "../../../testdata/matrix")
	list, err := tapes()
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		every *= 3
	}
	n := 0
	for _, p := range list {
		if p.trial.Tracer == nil {
			continue
		}
		if n++; n%every == 1%every {
			t.Run(p.name, func(t *testing.T) { fn(t, p) })
		}
	}
	if n == 0 {
		t.Fatal("no recording has the function tracer's events")
	}
}

func TestReplayTraced(t *testing.T) {
	saw, shown := map[string]match.Coverage{}, map[string]match.Coverage{}
	open, seen := map[string][]string{}, map[string]bool{}
	traced(t, 1, func(t *testing.T, p *taped) {
		w, _ := match.TracerCoverage(p.trial.Edges())
		c := match.CoverageOf(p.trial.Edges())
		if w.Shown == 0 || w.Shown*100 < w.Edges*75 || c.Shown*100 < c.Edges*75 {
			t.Errorf("the tracer saw %d of %d: %+v; %d of %d are shown: %+v", w.Shown, w.Edges, w.Open, c.Shown, c.Edges, c.Open)
		}
		kernel, _, _ := strings.Cut(p.name, "/")
		s, sh := saw[kernel], shown[kernel]
		saw[kernel] = match.Coverage{Edges: s.Edges + w.Edges, Shown: s.Shown + w.Shown}
		shown[kernel] = match.Coverage{Edges: sh.Edges + c.Edges, Shown: sh.Shown + c.Shown}
		for _, s := range w.Open {
			open[kernel] = append(open[kernel], s.Caller+" -> "+s.Callee)
		}
		for _, s := range p.trial.Edges() {
			if s.Verdict == ktrace.Seen || s.Verdict == ktrace.Renamed {
				seen[kernel+s.Caller+" -> "+s.Callee] = true
			}
		}
	})
	// An edge that no scenario of a kernel shows lies on a branch that none takes,
	// and the catalogue has to say so. A share of trials hides it: there an edge
	// that many of them have counts as often.
	for kernel, edges := range open {
		if testing.Short() {
			break // a sample of the trials
		}
		for _, e := range slices.Compact(slices.Sorted(slices.Values(edges))) {
			if !seen[kernel+e] {
				t.Errorf("%s: the tracer saw %s in no scenario", kernel, e)
			}
		}
	}
	// Of a scenario some calls may lie on ways that it does not take and no
	// branch tells of.
	for kernel, w := range saw {
		if c := shown[kernel]; w.Shown*100 < w.Edges*98 || c.Shown*100 < c.Edges*98 {
			t.Errorf("%s: the tracer saw %d of %d, %d of %d are shown", kernel, w.Shown, w.Edges, c.Shown, c.Edges)
		}
	}
}

// Without the entries of a function, nothing says that the tracer saw it. The
// entries of every tenth function are taken out at once, until all were.
func TestReplayWithoutEntry(t *testing.T) {
	const rounds = 10
	traced(t, 7, func(t *testing.T, p *taped) {
		whole, _ := match.TracerCoverage(p.trial.Edges())
		entered := map[string]bool{}
		for _, e := range p.trial.Events {
			if e.Kind == ktrace.FuncEntry && len(e.Stack) > 0 {
				entered[match.BaseName(e.Stack[0].Name)] = true
			}
		}
		missed := 0
		for round := range rounds {
			gone := map[string]bool{}
			for i, name := range slices.Sorted(maps.Keys(entered)) {
				if i%rounds == round {
					gone[name] = true
				}
			}
			changed := p.judge(func(tr *lab.Trial) { tr.Events = withoutEntries(tr.Events, gone) })
			for _, s := range changed.Edges() {
				if gone[s.Callee] && strings.Contains(s.Evidence, p.trial.Tracer.Name) && s.Verdict == ktrace.Seen && !strings.Contains(s.Evidence, "which cannot be traced") {
					t.Errorf("%s -> %s is still %s: %s", s.Caller, s.Callee, s.Verdict, s.Evidence)
				}
			}
			w, _ := match.TracerCoverage(changed.Edges())
			missed += whole.Shown - w.Shown
		}
		if missed < min(10, whole.Shown) {
			t.Errorf("of %d functions whose entries were taken out, %d were missed", len(entered), missed)
		}
	})
}

// withoutEntries removes the entries of functions and of their variants, and
// them from later stacks.
func withoutEntries(events []ktrace.Event, gone map[string]bool) []ktrace.Event {
	is := func(f ktrace.Frame) bool { return gone[match.BaseName(f.Name)] }
	var out []ktrace.Event
	for _, e := range events {
		if e.Kind == ktrace.FuncEntry {
			if is(e.Stack[0]) {
				continue
			}
			e.Stack = slices.DeleteFunc(slices.Clone(e.Stack), is)
		}
		out = append(out, e)
	}
	return out
}

func TestRecordTraced(t *testing.T) {
	l := tracing(t)
	s, err := scenario.Find(false, "ppoll")
	if err != nil {
		t.Fatal(err)
	}
	live := l.Run(context.Background(), s[0])
	file := filepath.Join(t.TempDir(), "x.jsonl.gz")
	w, err := record.Create(file, l.Header(), record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(live.Record(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	was, _ := match.TracerCoverage(live.Edges())
	again, err := read(file)
	if err != nil {
		t.Fatal(err)
	}
	is, _ := match.TracerCoverage(again[0].trial.Edges())
	// What closing shows when all is over is not recorded.
	if is.Edges < 10 || is.Edges > was.Edges || is.Shown != is.Edges {
		t.Errorf("live %d of %d, replayed %d of %d", was.Shown, was.Edges, is.Shown, is.Edges)
	}
}
