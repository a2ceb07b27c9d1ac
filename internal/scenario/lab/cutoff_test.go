//go:build linux

package lab_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// cutAt has the chains of a trial cut at a depth, as the kernel cuts them.
func cutAt(depth int) func(*lab.Trial) {
	return func(t *lab.Trial) {
		for i := range t.Events {
			if e := &t.Events[i]; e.Kind != ktrace.FuncEntry && len(e.Stack) >= depth {
				e.Stack, e.Truncated = slices.Clone(e.Stack[:depth]), true
			}
		}
	}
}

// A chain that the kernel cut gives no finding, no other waker and no other
// callbacks than the whole one, and the trial says which setting cut it.
func TestCutChains(t *testing.T) {
	files, err := filepath.Glob("../../../testdata/recordings/6.*/*.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := readTrials(t, file, nil)
			said := false
			for depth := range 25 {
				for i, tr := range readTrials(t, file, cutAt(depth)) {
					checkCut(t, depth, tr, whole[i])
					said = said || strings.Contains(tr.Reason, "kernel.perf_event_max_stack")
				}
			}
			if !said {
				t.Error("at no depth does the trial say that its chains were cut")
			}
		})
	}
}

func readTrials(t *testing.T, file string, change func(*lab.Trial)) []*lab.Trial {
	t.Helper()
	r, err := record.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	k, err := lab.KernelOf(&r.Header)
	if err != nil {
		t.Fatal(err)
	}
	trials, err := lab.ReadTrials(r, k, change)
	if err != nil {
		t.Fatal(err)
	}
	return trials
}

func checkCut(t *testing.T, depth int, cut, whole *lab.Trial) {
	t.Helper()
	name := cut.Scenario.Name
	if cut.Status == lab.Failed {
		t.Errorf("%s cut at %d: failed: %s", name, depth, cut.Reason)
	}
	for _, s := range cut.Edges() {
		if s.Verdict.Finding() {
			t.Errorf("%s cut at %d: %s -> %s %s: %s", name, depth, s.Caller, s.Callee, s.Verdict, s.Evidence)
		}
		if s.Verdict == ktrace.NotTaken && !strings.HasPrefix(s.Evidence, "branch ") && cut.Tracer == nil {
			t.Errorf("%s cut at %d: %s -> %s is not taken: %s", name, depth, s.Caller, s.Callee, s.Evidence)
		}
	}
	for i, w := range cut.Wakes {
		full := whole.Wakes[i].Seen
		// Whose softirq it was may be beyond the cut: then it is nobody's.
		if j := w.Seen; j != nil && full != nil && (j.Waker.TID != full.Waker.TID || !j.Interrupted && full.Interrupted || !slices.Equal(j.Callbacks, full.Callbacks)) {
			t.Errorf("%s cut at %d: woken by %s %q, and whole by %s %q", name, depth, j.Describe(), j.Callbacks, full.Describe(), full.Callbacks)
		}
		if j := w.Other; j != nil && j.Context != match.Unknown && whole.Wakes[i].Other == nil {
			t.Errorf("%s cut at %d: woken by something else: %s", name, depth, j.Describe())
		}
	}
	for _, j := range cut.Disturbed {
		if len(whole.Disturbed) == 0 && j.Context != match.Unknown {
			t.Errorf("%s cut at %d: disturbed by %s", name, depth, j.Describe())
		}
	}
}
