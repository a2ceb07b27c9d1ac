//go:build linux

package ftrace

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/google/go-cmp/cmp"
)

func TestParseFunction(t *testing.T) {
	for line, want := range map[string]entry{
		"  init-80      [000] ....     3.178372: __wake_up_locked_key <-eventfd_write":          {cpu: 0, tid: 80, comm: "init", time: 3178372, name: "__wake_up_locked_key", parent: "eventfd_write", enter: true, leave: true},
		"  a b: c-d-7   [012] d..1.    37.177486: vhost_poll_wakeup [vhost] <-__wake_up_common": {cpu: 12, tid: 7, comm: "a b: c-d", time: 37177486, name: "vhost_poll_wakeup", parent: "__wake_up_common", enter: true, leave: true},
		"  <idle>-0     [001] d.h.  1934.173554: try_to_wake_up <-hrtimer_wakeup":               {cpu: 1, tid: 0, comm: "<idle>", time: 1934173554, irq: "hardirq", name: "try_to_wake_up", parent: "hrtimer_wakeup", enter: true, leave: true},
	} {
		if got, ok := parseFunction(line); !ok || got != want {
			t.Errorf("%q:\n%+v\nwant\n%+v", line, got, want)
		}
	}
	for _, line := range []string{"", "# tracer: function", "  init-80 [000] .... 3.178372: sched_waking: comm=x", ": <-", "x [0] 1.000000: a <-b", " -1 [000] .... 3.1: a <-b"} {
		if got, ok := parseFunction(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

const graph = `   37.177400 |   1)    init-82     |               |  eventfd_write() {
   37.177410 |   1)    init-82     |               |    __wake_up_locked_key() {
   37.177411 |   0)    init-80     |   2.473 us    |  schedule();
   37.177420 |   1)    init-82     |               |      __wake_up_common() {
   37.177430 |   1)    init-82     | + 11.367 us   |        pollwake [mod]();
 ------------------------------------------
 1)    init-82     =>     init-80
 ------------------------------------------

   37.177440 |   1)    init-82     | ! 236.540 us  |      } /* __wake_up_common */
   37.177450 |   1)    init-82     |               |    }
   37.177460 |   1)    init-82     |               |  }
   37.177470 |   1)    init-82     |   1.000 us    |  eventfd_poll();
`

func TestGraph(t *testing.T) {
	s := newSource(nil, 0)
	s.tracer, s.process = Graph, map[int]int{82: 1, 80: 1}
	for line := range strings.Lines(graph) {
		s.line(strings.TrimSuffix(line, "\n"))
	}
	ev, err := s.Read(1<<62, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range ev {
		got = append(got, names(e.Stack))
	}
	want := []string{
		"eventfd_write", "__wake_up_locked_key < eventfd_write", "schedule", "__wake_up_common < __wake_up_locked_key < eventfd_write",
		"pollwake < __wake_up_common < __wake_up_locked_key < eventfd_write", "eventfd_poll",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("stacks (-want +got):\n%s", d)
	}
	if ev[0].TID != 82 || ev[0].Time/1000 != 37177400 || ev[0].CPU != 1 || ev[0].Comm != "init" || ev[0].Kind != ktrace.FuncEntry {
		t.Errorf("%+v", ev[0])
	}
}

// With the flags an interrupt is known as such, and the thread goes on where it
// was, though the tracer saw less of the interrupt's end than of its begin.
func TestGraphInterrupted(t *testing.T) {
	s := newSource(nil, 0)
	s.tracer, s.process = Graph, map[int]int{82: 1}
	for line := range strings.Lines(`   37.177400 |   1)    init-82     |  ..... |               |  default_wake_function() {
   37.177410 |   1)    init-82     |  d.h1. |               |    hrtimer_interrupt() {
   37.177411 |   1)    init-82     |  d.h2. |               |      __hrtimer_run_queues() {
   37.177412 |   1)    init-82     |  d.h2. |   2.473 us    |      } /* __hrtimer_run_queues */
   37.177420 |   1)    init-82     |  d..1. |               |    try_to_wake_up() {
   37.177430 |   1)    init-82     |  d..1. |   1.367 us    |      select_task_rq_fair();
`) {
		s.line(strings.TrimSuffix(line, "\n"))
	}
	ev, err := s.Read(1<<62, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range ev {
		got = append(got, strings.TrimSpace(names(e.Stack)+" "+e.IRQ))
	}
	want := []string{
		"default_wake_function", "hrtimer_interrupt < default_wake_function hardirq", "__hrtimer_run_queues < hrtimer_interrupt < default_wake_function hardirq",
		"try_to_wake_up < default_wake_function", "select_task_rq_fair < try_to_wake_up < default_wake_function",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("stacks (-want +got):\n%s", d)
	}
}

func TestLost(t *testing.T) {
	s := newSource(nil, 0)
	s.tracer = Function
	s.line("CPU:1 [LOST 12 EVENTS]")
	if l := s.Losses(); len(l) != 1 || l[0].Count != 12 || l[0].Source != Function {
		t.Errorf("losses %+v", l)
	}
}

func FuzzLine(f *testing.F) {
	for line := range strings.Lines(graph) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Add("  a b: c-d-7   [012] d..1.    37.177486: vhost_poll_wakeup [vhost] <-__wake_up_common")
	f.Add("CPU:1 [LOST 12 EVENTS]")
	f.Fuzz(func(t *testing.T, line string) {
		for _, tracer := range []string{Graph, Function} {
			s := newSource(nil, 0)
			s.tracer = tracer
			s.line(line)
			for _, e := range s.pending {
				if len(e.Stack) == 0 || e.Stack[0].Name == "" || e.TID < 0 || e.Time < 0 {
					t.Errorf("%q: %+v", line, e)
				}
			}
		}
	})
}
