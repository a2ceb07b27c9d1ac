//go:build linux

package recorded_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
)

// tracedRecordings have the function tracer's events: function_graph's and the
// plain tracer's.
var tracedRecordings = []string{"6.12.117/tracer-ppoll", "6.12.117/tracer-epoll_wait", "5.10.262/tracer-ppoll", "5.10.262/tracer-epoll_wait"}

// tape is a recording in memory.
type tape struct {
	header record.Header
	events []ktrace.Event
	notes  []record.Note
}

func loadTape(t *testing.T, name string) *tape {
	t.Helper()
	testenv.Tree(t, "../../../testdata/recordings")
	r, err := record.Open("../../../testdata/recordings/" + name + ".jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	tp := &tape{header: r.Header}
	if err := r.Replay(func(e []ktrace.Event, _ []ktrace.Loss) error {
		tp.events = append(tp.events, e...)
		return nil
	}, func(n record.Note) { tp.notes = append(tp.notes, n) }); err != nil {
		t.Fatal(err)
	}
	return tp
}

// judge plays a tape, with losses. all are the calls; one is its wake by a
// write.
func (tp *tape) judge(t *testing.T, losses ...ktrace.Loss) (one *observe.Judged, all []*observe.Call) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.jsonl")
	w, err := record.Create(file, tp.header, record.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Write(tp.events, losses)
	for _, n := range tp.notes {
		err = errors.Join(err, w.Note(n))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	k, err := lab.KernelOf(&tp.header)
	if err != nil {
		t.Fatal(err)
	}
	_, err = recorded.Replay(file, k, observe.Options{
		OnWake: func(j *observe.Judged) {
			if j.WakerSyscall == "write" && len(j.Callbacks) > 0 {
				one = j
			}
		},
		OnCall: func(c *observe.Call) { all = append(all, c) },
	})
	if err != nil || one == nil {
		t.Fatalf("no wake by a write: %v", err)
	}
	return one, all
}

func stepOf(w *observe.Way, caller, callee string) match.Step {
	if w == nil {
		return match.Step{}
	}
	i := slices.IndexFunc(w.Steps, func(s match.Step) bool { return s.Caller == caller && s.Callee == callee })
	if i < 0 {
		return match.Step{}
	}
	return w.Steps[i]
}

func wantByTracer(t *testing.T, tp *tape, w *observe.Way, caller, callee string) {
	t.Helper()
	if s := stepOf(w, caller, callee); s.Verdict != ktrace.Seen || !strings.HasPrefix(s.Evidence, tp.header.Facts["tracer"]) {
		t.Errorf("%s -> %s: %q, %s", caller, callee, s.Verdict, s.Evidence)
	}
}

// What no chain of a wake shows, the function tracer saw in the two calls.
func TestWays(t *testing.T) {
	for _, name := range tracedRecordings {
		t.Run(name, func(t *testing.T) {
			tp := loadTape(t, name)
			j, calls := tp.judge(t)
			wantByTracer(t, tp, j.Waked, "__wake_up_locked_key", "__wake_up_common")
			wantByTracer(t, tp, j.Waked, "default_wake_function", "try_to_wake_up")
			if strings.HasSuffix(name, "ppoll") {
				wantByTracer(t, tp, j.Sleeping, "do_sys_poll", "poll_freewait")
				wantByTracer(t, tp, j.Sleeping, "poll_wait", "__pollwait")
				wantByTracer(t, tp, j.Sleeping, "__x64_sys_ppoll", "set_user_sigmask")
			} else {
				wantByTracer(t, tp, j.Sleeping, "vfs_poll", "eventfd_poll")
				i := slices.IndexFunc(calls, func(c *observe.Call) bool {
					return stepOf(c.Way, "poll_wait", "ep_ptable_queue_proc").Verdict == ktrace.Seen
				})
				if i < 0 {
					t.Error("no epoll_ctl is seen to be put on a wait queue")
				}
			}
			for _, w := range []*observe.Way{j.Waked, j.Sleeping} {
				for _, s := range w.Steps {
					if s.Verdict.Finding() {
						t.Errorf("%s -> %s: %s, %s", s.Caller, s.Callee, s.Verdict, s.Evidence)
					}
				}
			}
		})
	}
}

// untold counts the verdicts of a way that say that something did not happen.
func untold(w *observe.Way) (n int, evidence string) {
	for _, s := range w.Steps {
		if s.Verdict == ktrace.NotTaken && strings.Contains(s.Evidence, "tracer:") {
			n, evidence = n+1, s.Caller+" -> "+s.Callee+": "+s.Evidence
		}
	}
	return n, evidence
}

// A function whose entry is missing was not entered, unless records were lost
// in that time: then nothing is said of it.
func TestWaysWithLosses(t *testing.T) {
	for _, name := range tracedRecordings {
		t.Run(name, func(t *testing.T) {
			tp := loadTape(t, name)
			whole, _ := tp.judge(t)
			if n, _ := untold(whole.Waked); n == 0 {
				t.Error("no branch of the waker's call is known not to be taken: this shows nothing")
			}
			tracer := tp.header.Facts["tracer"]
			c := whole.Waker.Call
			beside := ktrace.Loss{Source: tracer, Count: 7, From: c.Enter - 10e6, To: c.Enter - 5e6}
			j, _ := tp.judge(t, beside)
			if n, _ := untold(j.Waked); n == 0 || j.Lost {
				t.Errorf("a loss before the call puts it in doubt: %d edges not taken, wake lost: %v", n, j.Lost)
			}
			tp.events = slices.DeleteFunc(tp.events, func(e ktrace.Event) bool {
				return e.Kind == ktrace.FuncEntry && match.BaseName(e.Stack[0].Name) == "__wake_up_common"
			})
			j, _ = tp.judge(t)
			if s := stepOf(j.Waked, "__wake_up_locked_key", "__wake_up_common"); s.Verdict == ktrace.Seen && strings.HasPrefix(s.Evidence, tracer) {
				t.Errorf("without its entry __wake_up_common is %s: %s", s.Verdict, s.Evidence)
			}
			j, _ = tp.judge(t, ktrace.Loss{Source: tracer, Count: 7, From: c.Enter + 100, To: c.Enter + 200})
			if n, what := untold(j.Waked); n > 0 {
				t.Errorf("beside a loss %d edges are not taken: %s", n, what)
			}
			if s := stepOf(j.Waked, "default_wake_function", "try_to_wake_up"); s.Verdict != ktrace.Seen {
				t.Errorf("what was seen beside a loss is %s: %s", s.Verdict, s.Evidence)
			}
			if j.Lost {
				t.Error("the loss of the tracer's records puts the wake itself in doubt")
			}
		})
	}
}

// A call that goes on while its wake is told of was seen in part.
func TestWayOfAnOpenCall(t *testing.T) {
	tp := loadTape(t, "6.12.117/tracer-ppoll")
	whole, _ := tp.judge(t)
	exit := whole.Wakee.Call.Exit
	i := slices.IndexFunc(tp.events, func(e ktrace.Event) bool {
		return e.Kind == ktrace.FuncEntry && e.TID == whole.Wakee.TID && match.BaseName(e.Stack[0].Name) == "poll_freewait" && e.Time > whole.Time
	})
	if i < 0 || exit == 0 {
		t.Fatal("no poll_freewait")
	}
	tp.events = tp.events[:i]
	j, _ := tp.judge(t)
	if s := stepOf(j.Sleeping, "do_sys_poll", "poll_freewait"); s.Verdict != ktrace.NotObservable || !strings.Contains(s.Evidence, "not ended") {
		t.Errorf("of a call that goes on: %s, %s", s.Verdict, s.Evidence)
	}
	wantByTracer(t, tp, j.Sleeping, "poll_wait", "__pollwait")
}

// What an interrupt runs on top of a call is not that call's.
func TestWayWithoutInterrupts(t *testing.T) {
	tp := loadTape(t, "5.10.262/tracer-ppoll")
	for i := range tp.events {
		if e := &tp.events[i]; e.Kind == ktrace.FuncEntry && match.BaseName(e.Stack[0].Name) == "__wake_up_common" {
			e.IRQ = "hardirq"
		}
	}
	j, _ := tp.judge(t)
	if s := stepOf(j.Waked, "__wake_up_locked_key", "__wake_up_common"); strings.HasPrefix(s.Evidence, "function tracer: __wake_up_locked_key ->") || s.Verdict == ktrace.Seen && strings.HasPrefix(s.Evidence, "function tracer") {
		t.Errorf("entered by an interrupt, and %s: %s", s.Verdict, s.Evidence)
	}
}

// Entries go to the call in which their thread entered them, however coarse
// the tracer's times are.
func TestWayOfItsOwnCall(t *testing.T) {
	tp := loadTape(t, "6.12.117/tracer-ppoll")
	j, _ := tp.judge(t)
	other := j.Waker.Call
	// Another thread does the same at the same time, and goes on to a call that
	// begins within the microsecond in which the first ends.
	var twin []ktrace.Event
	for _, e := range tp.events {
		if e.TID == other.TID && e.Time >= other.Enter-1000 && e.Time <= other.Exit && e.Kind != ktrace.Waking && e.Kind != ktrace.Switch {
			e.TID, e.PID = 99999, 99999
			twin = append(twin, e)
		}
	}
	tp.events = append(tp.events, twin...)
	slices.SortStableFunc(tp.events, func(a, b ktrace.Event) int { return int(a.Time - b.Time) })
	k, _ := tp.judge(t)
	if len(k.Waked.Steps) != len(j.Waked.Steps) {
		t.Fatalf("%d steps, and %d beside another thread", len(j.Waked.Steps), len(k.Waked.Steps))
	}
	for i, s := range k.Waked.Steps {
		if was := j.Waked.Steps[i]; s.Verdict != was.Verdict || s.Evidence != was.Evidence {
			t.Errorf("%s -> %s: %s (%s), and beside another thread %s (%s)", s.Caller, s.Callee, was.Verdict, was.Evidence, s.Verdict, s.Evidence)
		}
	}
}
