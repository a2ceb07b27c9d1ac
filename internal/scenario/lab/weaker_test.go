//go:build linux

package lab_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// weaker are runs that would have had fewer sources than a recording: whether
// the function tracer is gone, and the kinds of events that are.
var weaker = []struct {
	without string
	tracer  bool
	kinds   []ktrace.EventKind
}{
	{"tracer", true, []ktrace.EventKind{ktrace.FuncEntry}},
	{"watchpoints", false, []ktrace.EventKind{ktrace.Watch}},
	{"allocations", false, []ktrace.EventKind{ktrace.Alloc}},
	{"tracer, watchpoints and allocations", true, []ktrace.EventKind{ktrace.FuncEntry, ktrace.Watch, ktrace.Alloc}},
}

// trialsOf judges a recording without some of its sources.
func trialsOf(t *testing.T, file string, tracer bool, kinds []ktrace.EventKind) []*lab.Trial {
	t.Helper()
	r, err := record.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if tracer {
		delete(r.Header.Facts, "tracer")
	}
	k, err := lab.KernelOf(&r.Header)
	if err != nil {
		t.Fatal(err)
	}
	trials, err := lab.ReadTrials(r, k, func(t *lab.Trial) {
		t.Events = slices.DeleteFunc(t.Events, func(e ktrace.Event) bool { return slices.Contains(kinds, e.Kind) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return trials
}

// shown are the verdicts that say that an edge was taken.
func shown(v ktrace.Verdict) bool {
	return slices.Contains([]ktrace.Verdict{ktrace.Seen, ktrace.Renamed, ktrace.TailCall, ktrace.Inlined}, v)
}

// A run with fewer sources knows less and nothing else: it calls nothing not
// taken that the stronger run saw, shows nothing that the stronger does not,
// and no figure of it is higher.
func TestWeakerRunsAgree(t *testing.T) {
	files, err := filepath.Glob("../../../testdata/matrix/*.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	single, err := filepath.Glob("../../../testdata/recordings/*/*.gz")
	if err != nil || len(single) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range append(files, single...) {
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			full := trialsOf(t, file, false, nil)
			for _, w := range weaker {
				compare(t, w.without, full, trialsOf(t, file, w.tracer, w.kinds))
			}
		})
	}
}

func compare(t *testing.T, without string, full, less []*lab.Trial) {
	t.Helper()
	var most, least match.Coverage
	for i, f := range full {
		type call struct {
			caller, callee string
			nth            int
		}
		known := map[call]match.Step{}
		for _, s := range f.Edges() {
			known[call{s.Caller, s.Callee, s.Nth}] = s
		}
		for _, s := range less[i].Edges() {
			k := known[call{s.Caller, s.Callee, s.Nth}]
			if s.Verdict == ktrace.NotTaken && k.Verdict != ktrace.NotTaken || shown(s.Verdict) && !shown(k.Verdict) || s.Verdict.Finding() && !k.Verdict.Finding() {
				t.Errorf("%s without %s: %s -> %s is %s (%s); with all it is %s (%s)", f.Scenario.Name, without, s.Caller, s.Callee, s.Verdict, s.Evidence, k.Verdict, k.Evidence)
			}
		}
		add(&most, match.CoverageOf(f.Edges()))
		add(&least, match.CoverageOf(less[i].Edges()))
	}
	if least.Shown > most.Shown || least.Edges > most.Edges || least.Taken > most.Taken || least.Shown*most.Edges > most.Shown*least.Edges {
		t.Errorf("without %s: %d of %d of %d edges are shown; with all %d of %d of %d", without, least.Shown, least.Edges, least.Taken, most.Shown, most.Edges, most.Taken)
	}
}

func add(f *match.Coverage, g match.Coverage) {
	f.Edges, f.Shown, f.Taken = f.Edges+g.Edges, f.Shown+g.Shown, f.Taken+g.Taken
}
