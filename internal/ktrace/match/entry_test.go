//go:build linux

package match

import (
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/google/go-cmp/cmp"
)

// register618 is what ppoll does before it sleeps, as far as eventfd_poll.
func register618() *ktrace.Path {
	return &ktrace.Path{Name: "ppoll", Roots: []string{"sys_ppoll"}, Edges: []ktrace.Edge{
		edge("sys_ppoll", "do_sys_poll"), edge("do_sys_poll", "poll_initwait"), edge("do_sys_poll", "do_poll"), edge("do_poll", "vfs_poll"),
		edge("vfs_poll", "eventfd_poll", "pointer"), edge("eventfd_poll", "poll_wait"), edge("poll_wait", "__pollwait", "pointer"),
		edge("__pollwait", "add_wait_queue", "tail"), edge("do_sys_poll", "poll_freewait"), edge("poll_freewait", "remove_wait_queue"),
		edge("do_poll", "busy"),
	}}
}

var symsRegister = syms("__x64_sys_ppoll", "do_sys_poll", "poll_initwait", "eventfd_poll", "__pollwait", "add_wait_queue", "poll_freewait", "remove_wait_queue")

// What the two tracers show of one call, each entry leaf first.
var (
	byGraph = []string{"__x64_sys_ppoll", "do_sys_poll __x64_sys_ppoll", "eventfd_poll do_sys_poll __x64_sys_ppoll", "__pollwait eventfd_poll do_sys_poll __x64_sys_ppoll",
		"add_wait_queue __pollwait eventfd_poll do_sys_poll __x64_sys_ppoll", "poll_freewait do_sys_poll __x64_sys_ppoll", "remove_wait_queue poll_freewait do_sys_poll __x64_sys_ppoll"}
	byFunction = []string{"__x64_sys_ppoll do_syscall_64", "do_sys_poll __x64_sys_ppoll", "eventfd_poll do_sys_poll", "__pollwait eventfd_poll",
		"add_wait_queue eventfd_poll", "poll_freewait do_sys_poll", "remove_wait_queue poll_freewait"}
)

// lacking is code in which nothing goes to one function.
type lacking string

func (lacking) TailCall(string, string) (string, bool) { return "", false }
func (lacking) Calls(string, string) (string, bool)    { return "", false }
func (l lacking) Lacks(_, callee string) (string, bool) {
	return "text", callee == string(l)
}

func tracer(name string) *Tracer {
	tr := &Tracer{Name: name, Graph: name == "graph", Traced: map[string]bool{}}
	for _, n := range symsRegister {
		tr.Traced[n[0]] = true
	}
	return tr
}

// covered judges entries by one tracer.
func covered(p *ktrace.Path, name string, entries []string) []Step {
	d := NewDoc(symsRegister, nil, p).WithText(lacking("poll_initwait"))
	var events []*ktrace.Event
	for _, e := range entries {
		ev := event(e)
		ev.Kind, ev.Source, ev.TID = ktrace.FuncEntry, name, 7
		events = append(events, ev)
	}
	return Cover([]Group{{Paths: []*ktrace.Path{p}, Doc: d, Entries: d.Trace(tracer(name), events)}}, &Sources{Unseen: "nothing lies there"})
}

func stepOf(t *testing.T, steps []Step, caller, callee string) Step {
	t.Helper()
	for _, s := range steps {
		if s.Caller == caller && s.Callee == callee {
			return s
		}
	}
	t.Fatalf("no edge %s -> %s", caller, callee)
	return Step{}
}

func TestTracerSees(t *testing.T) {
	for name, entries := range map[string][]string{"graph": byGraph, "function": byFunction} {
		p := register618()
		p.Edges = p.Edges[:len(p.Edges)-1] // busy is no function of this kernel
		steps := covered(p, name, entries)
		for _, w := range []struct {
			caller, callee string
			verdict        ktrace.Verdict
			evidence       string
		}{
			{"sys_ppoll", "do_sys_poll", ktrace.Seen, name},
			{"do_sys_poll", "poll_initwait", ktrace.Inlined, "text"},
			{"vfs_poll", "eventfd_poll", ktrace.Seen, name},
			{"poll_wait", "__pollwait", ktrace.Seen, name},
			{"__pollwait", "add_wait_queue", ktrace.Seen, name}, // a jump
			{"poll_freewait", "remove_wait_queue", ktrace.Seen, name},
		} {
			if s := stepOf(t, steps, w.caller, w.callee); s.Verdict != w.verdict || !strings.Contains(s.Evidence, w.evidence) {
				t.Errorf("%s: %s -> %s: %s (%s), want %s", name, w.caller, w.callee, s.Verdict, s.Evidence, w.verdict)
			}
		}
		if f, apart := TracerCoverage(steps); f.Edges != 4 || f.Shown != 4 || len(apart) != 1 || apart[0].Callee != "poll_initwait" {
			t.Errorf("%s: witness %+v, apart %d", name, f, len(apart))
		}
		if f := CoverageOf(steps); f.Edges != len(p.Edges) || f.Shown != len(p.Edges) {
			t.Errorf("%s: coverage %+v", name, f)
		}
	}
}

// An entry that the tracer ought to have shown is missing from both figures.
func TestRemovedEntryIsNotSeen(t *testing.T) {
	for name, entries := range map[string][]string{"graph": byGraph, "function": byFunction} {
		for _, gone := range []string{"do_sys_poll", "__pollwait", "add_wait_queue", "poll_freewait", "remove_wait_queue"} {
			var left []string
			for _, e := range entries {
				f := strings.Fields(e)
				if f[0] == gone {
					continue
				}
				if name == "graph" { // it is on no later stack either
					f = slices.DeleteFunc(f, func(n string) bool { return n == gone })
				}
				left = append(left, strings.Join(f, " "))
			}
			steps := covered(register618(), name, left)
			for _, s := range steps {
				if s.Callee == gone && shown(s.Verdict) {
					t.Errorf("%s: %s removed: %s -> %s is %s (%s)", name, gone, s.Caller, s.Callee, s.Verdict, s.Evidence)
				}
			}
			if c := CoverageOf(steps); c.Shown == c.Taken {
				t.Errorf("%s: %s removed: coverage is whole", name, gone)
			}
		}
	}
}

// A misspelt callee is a function of no kernel and in no source.
func TestMisspeltEntryIsContradicted(t *testing.T) {
	for i := range register618().Edges {
		p := register618()
		e := &p.Edges[i]
		if e.Kind == ktrace.Pointer {
			continue
		}
		e.Callee, e.Proved, e.Tail = e.Callee+"_", false, nil
		for name, entries := range map[string][]string{"graph": byGraph, "function": byFunction} {
			s := stepOf(t, covered(p, name, entries), e.Caller, e.Callee)
			if s.Verdict != ktrace.Contradicted {
				t.Errorf("%s: %s -> %s: %s (%s)", name, s.Caller, s.Callee, s.Verdict, s.Evidence)
			}
		}
	}
}

func TestChainsAndTracerDisagree(t *testing.T) {
	steps := covered(register618(), "graph", byGraph)
	if d := Disagree(steps); len(d) != 0 {
		t.Errorf("%+v", d)
	}
	p := register618()
	d := NewDoc(symsRegister, nil, p)
	events := []*ktrace.Event{event("do_sys_poll __x64_sys_ppoll")}
	events[0].Kind = ktrace.FuncEntry
	chain := d.Match(event("remove_wait_queue poll_freewait do_sys_poll __x64_sys_ppoll do_syscall_64"))
	both := []string{"do_sys_poll poll_freewait seen not_taken", "poll_freewait remove_wait_queue seen not_taken"}
	for name, x := range map[string]struct {
		src    Sources
		around map[string]int
		want   []string
	}{
		"whole":             {want: both},
		"records lost":      {src: Sources{Missed: 1}},
		"a part":            {src: Sources{Partial: "one thread of two"}},
		"entered elsewhere": {around: map[string]int{"remove_wait_queue": 1}, want: both[:1]},
	} {
		entries := d.Trace(tracer("graph"), events)
		entries.Around = x.around
		steps = Cover([]Group{{Paths: []*ktrace.Path{p}, Doc: d, Chains: []*Chain{chain}, Entries: entries}}, &x.src)
		var got []string
		for _, x := range Disagree(steps) {
			got = append(got, x.Caller+" "+x.Callee+" "+string(x.Chains)+" "+string(x.Tracer))
		}
		if d := cmp.Diff(x.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
