//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/ktrace/source/ftrace"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
)

func needFtrace(t *testing.T) {
	t.Helper()
	needPerf(t)
	err := ftrace.Probe()
	if a, ok := errors.AsType[*ktrace.AccessError](err); ok {
		testenv.Require(t, a.Tier, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// judgedIn are the wakes and the calls of a recording.
func judgedIn(t *testing.T, file string) (wakes []*observe.Judged, calls []*observe.Call, p *observe.Pipeline) {
	t.Helper()
	k, _, err := lab.Opened(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err = recorded.Replay(file, k, observe.Options{
		OnWake: func(j *observe.Judged) { wakes = append(wakes, j) },
		OnCall: func(c *observe.Call) { calls = append(calls, c) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return wakes, calls, p
}

// stepTo is the step of a way to a function.
func stepTo(w *observe.Way, callee string) (match.Step, bool) {
	if w == nil {
		return match.Step{}, false
	}
	i := slices.IndexFunc(w.Steps, func(s match.Step) bool { return s.Callee == callee && s.Verdict != ktrace.NotTaken })
	if i < 0 {
		i = slices.IndexFunc(w.Steps, func(s match.Step) bool { return s.Callee == callee })
	}
	if i < 0 {
		return match.Step{}, false
	}
	return w.Steps[i], true
}

// checkTraced holds the wakes of threads in ppoll by writes against what these
// calls always do: it is seen, or records are missing, and never anything else.
// It returns the number of wakes that are seen whole.
func checkTraced(t *testing.T, wakes []*observe.Judged, lost bool) (whole int) {
	t.Helper()
	n := 0
	for _, j := range wakes {
		if j.WakeeSyscall != "ppoll" || j.WakerSyscall != "write" || j.Callback != "pollwake" || j.Lost {
			continue
		}
		n++
		seen := true
		for _, c := range []struct {
			way    *observe.Way
			callee string
		}{{j.Sleeping, "__pollwait"}, {j.Sleeping, "poll_freewait"}, {j.Sleeping, "add_wait_queue"}, {j.Sleeping, "remove_wait_queue"}, {j.Waked, "__wake_up_locked_key"}, {j.Waked, "try_to_wake_up"}} {
			s, ok := stepTo(c.way, c.callee)
			if !ok {
				seen = false
				continue
			}
			switch s.Verdict {
			case ktrace.Seen:
				// The waker's steps may be on the call chain too.
				if c.way == j.Sleeping && s.ShownBy != c.way.Tracer {
					t.Errorf("%s -> %s is %s by %s", s.Caller, s.Callee, s.Verdict, s.Evidence)
				}
			case ktrace.Inconclusive, ktrace.NotObservable:
				seen = false
			case ktrace.TailCall: // by the chain alone
				if seen = false; !lost {
					t.Errorf("%s -> %s: %s, %s", s.Caller, s.Callee, s.Verdict, s.Evidence)
				}
			default:
				t.Fatalf("%s -> %s: %s, %s", s.Caller, s.Callee, s.Verdict, s.Evidence)
			}
		}
		for _, w := range []*observe.Way{j.Sleeping, j.Waked} {
			if w == nil {
				continue
			}
			for _, s := range w.Steps {
				if s.Verdict.Finding() {
					t.Fatalf("%s -> %s: %s, %s", s.Caller, s.Callee, s.Verdict, s.Evidence)
				}
			}
		}
		if seen {
			whole++
		}
	}
	t.Logf("%d wakes of ppoll by a write, of which %d are seen whole", n, whole)
	if n == 0 || !lost && whole < max(1, n-2) { // one may lie at either end
		t.Errorf("%d wakes of ppoll by a write, of which %d are seen whole", n, whole)
	}
	return whole
}

func lostOfTracer(p *observe.Pipeline) (n uint64) {
	for source, k := range p.LostBy {
		if observe.OfFunctions(source) {
			n += k
		}
	}
	return n
}

func TestRunTraced(t *testing.T) {
	needFtrace(t)
	t.Setenv("EFDTRACE_TEST_WAITER", "1")
	file := filepath.Join(t.TempDir(), "r.jsonl.gz")
	var calls []*observe.Call
	var p *observe.Pipeline
	for tries := 1; ; tries++ {
		if status, _, stderr := invoke(t, "run", "-trace", "-o", file, "-format", "recording", "--", os.Args[0], "-test.run=^TestWaiter$"); status != 0 {
			t.Fatalf("status %d: %s", status, stderr)
		}
		var wakes []*observe.Judged
		wakes, calls, p = judgedIn(t, file)
		if whole := checkTraced(t, wakes, lostOfTracer(p) > 0); whole > 0 {
			break
		}
		if tries == 3 {
			t.Fatalf("the tracer lost something of each wake, three times: %v", p.LostBy)
		}
	}
	made := map[string]bool{}
	for _, c := range calls {
		if c.Way != nil && slices.ContainsFunc(c.Way.Steps, func(s match.Step) bool { return s.Verdict == ktrace.Seen && s.ShownBy == c.Way.Tracer }) {
			made[c.Way.Paths[0]] = true
		}
	}
	if lostOfTracer(p) == 0 && (!made["epoll_ctl"] || !made["eventfd2"]) {
		t.Errorf("of the calls that make what is waited for are seen: %v", made)
	}
	noInstances(t)
	if testenv.Slow() {
		return // as of the recordings below
	}
	status, stdout, stderr := invoke(t, "replay", file)
	if status != exitOK || !strings.Contains(stdout, "poll_freewait by the tracer") {
		t.Errorf("replay: status %d: %s%s", status, stdout, stderr)
	}
}

// The same of recordings of run, made with each kind of tracer.
func TestReplayTraced(t *testing.T) {
	testenv.Tree(t, "../../testdata/traced")
	files, err := filepath.Glob("../../testdata/traced/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			wakes, _, p := judgedIn(t, f)
			if whole := checkTraced(t, wakes, lostOfTracer(p) > 0); whole == 0 {
				t.Error("no wake is seen whole")
			}
			status, stdout, stderr := invoke(t, "replay", f)
			if status != exitOK || !strings.Contains(stdout, "poll_freewait by the tracer") || !strings.Contains(stdout, "[write: way ") {
				t.Errorf("status %d: %s%s", status, stdout, stderr)
			}
			for _, form := range formats[2:] {
				if status, stdout, stderr := invoke(t, "replay", "-format", form, f); status != exitOK || stdout == "" || form == "jsonl" && !strings.Contains(stdout, "poll_freewait") {
					t.Errorf("-format %s: status %d: %s", form, status, stderr)
				}
			}
		})
	}
}

// With two threads that wake each other without a pause, and other programs
// beside them, records of the tracer are lost. None of it makes a wrong verdict.
func TestRunTracedBusy(t *testing.T) {
	needFtrace(t)
	makeNoise(t)
	t.Setenv("EFDTRACE_TEST_PROGRAM", "pingpong 500ms")
	t.Setenv("GODEBUG", "asyncpreemptoff=1")
	file := filepath.Join(t.TempDir(), "r.jsonl.gz")
	status, _, stderr := invoke(t, "run", "-trace", "-o", file, "-format", "recording", "--", os.Args[0])
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var sides [2]side
	told(t, stderr, "sides", &sides)
	wakes, _, p := judgedIn(t, file)
	t.Logf("%d and %d writes, lost %v", sides[0].Wrote, sides[1].Wrote, p.LostBy)
	if whole := checkTraced(t, wakes, lostOfTracer(p) > 0); whole == 0 {
		t.Error("no wake is seen whole")
	}
}

// global is the state of the tracer that is not an instance's.
func global(t *testing.T) map[string]string {
	t.Helper()
	fs, err := tracefs.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	state := map[string]string{}
	for _, f := range []string{"current_tracer", "tracing_on", "trace_clock", "trace_options", "set_ftrace_pid", "set_ftrace_filter", "set_graph_function", "buffer_size_kb"} {
		b, err := fs.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		state[f] = string(b)
	}
	return state
}

func instancesOf(t *testing.T, pid int) (names []string) {
	t.Helper()
	fs, err := tracefs.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	all, err := fs.ReadDir("instances")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if strings.HasPrefix(n, fmt.Sprintf("efdtrace-%d-", pid)) {
			names = append(names, n)
		}
	}
	return names
}

func noInstances(t *testing.T) {
	t.Helper()
	if n := instancesOf(t, os.Getpid()); len(n) > 0 {
		t.Errorf("left in tracefs: %v", n)
	}
}

// Killed, run leaves an instance that the next removes; interrupted, it leaves
// none. What is not an instance's stays as it was.
func TestRunTracedLeavesNothing(t *testing.T) {
	needFtrace(t)
	needRoot(t)
	before := global(t)
	attached := func(end os.Signal) (int, string) {
		k, pid, _, _ := waiterOutside(t, "waiter")
		cmd := efdtrace(t, "", "run", "-trace", "-p", strconv.Itoa(pid))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, io.Discard
		testenv.Start(t, cmd)
		awaitReading(t, cmd.Process.Pid)
		for range 3 {
			k.say("wake")
			k.hear("woken")
		}
		if len(instancesOf(t, cmd.Process.Pid)) != 1 {
			t.Error("no instance while it traces: this shows nothing")
		}
		for f, v := range global(t) {
			if v != before[f] {
				t.Errorf("%s of the whole system is %q, and was %q", f, v, before[f])
			}
		}
		cmd.Process.Signal(end)
		cmd.Wait()
		return cmd.Process.Pid, out.String()
	}
	killed, _ := attached(os.Kill)
	if len(instancesOf(t, killed)) != 1 {
		t.Fatal("killed, it left no instance: this shows nothing")
	}
	ended, out := attached(os.Interrupt)
	if n := append(instancesOf(t, killed), instancesOf(t, ended)...); len(n) > 0 {
		t.Errorf("left in tracefs: %v", n)
	}
	if !strings.Contains(out, "poll_freewait by the tracer") {
		t.Errorf("attached, no way is shown in\n%s", out)
	}
}

// Where functions cannot be traced, one line says so, and the rest goes on.
func TestRunUntraced(t *testing.T) {
	needPerf(t)
	if ftrace.Probe() == nil {
		t.Skip("this kernel has a function tracer")
	}
	cmd := efdtrace(t, "", "run", "-trace", "--", "sh", "-c", "exit 3")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run()
	if status := cmd.ProcessState.ExitCode(); status != 3 {
		t.Errorf("status %d", status)
	}
	said := stderr.String()
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, "functions are not traced: ") || !strings.Contains(said, "; ") || !strings.Contains(stdout.String(), "wakes of threads that waited") {
		t.Errorf("%q, %s", said, stdout.String())
	}
}
