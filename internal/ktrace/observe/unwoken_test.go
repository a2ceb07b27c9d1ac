//go:build linux

package observe

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// asleep has thread 7 of process 5 sleep in ppoll on CPU 1 from one time to
// another.
func asleep(from, to int64) []ktrace.Event {
	stack := []ktrace.Frame{{Name: "__schedule"}, {Name: "schedule"}, {Name: "do_sys_poll"}, {Name: "__x64_sys_ppoll"}, {Name: "do_syscall_64"}}
	return []ktrace.Event{
		{Kind: ktrace.Switch, Source: "sched:sched_switch", Time: from, CPU: 1, PID: 5, TID: 7, State: 1, Stack: stack},
		{Kind: ktrace.Switch, Source: "sched:sched_switch", Time: to, CPU: 1, TID: 0, Target: 7},
	}
}

func wake(at int64) ktrace.Event {
	return ktrace.Event{Kind: ktrace.Waking, Source: "sched:sched_waking", Time: at, CPU: 0, PID: 6, TID: 6, Target: 7}
}

// A sleep that ended without a record of its wake is counted, as lost too; one
// whose wake came while the thread was about to sleep is not.
func TestUnwoken(t *testing.T) {
	enter := ktrace.Event{Kind: ktrace.SysEnter, Time: 1, PID: 5, TID: 7, Nr: 271}
	idle := ktrace.Event{Kind: ktrace.Waking, Source: "sched:sched_waking", Time: 2, CPU: 1, Target: 99}
	for name, c := range map[string]struct {
		events []ktrace.Event
		losses []ktrace.Loss
		want   int
		lost   uint64
		text   string
	}{
		"woken":       {append([]ktrace.Event{enter, wake(15)}, asleep(10, 20)...), nil, 0, 0, ""},
		"not woken":   {append([]ktrace.Event{enter}, asleep(10, 20)...), nil, 1, 1, "ended 1 sleep, and left no record (by where the thread ran again: 1 on CPU 1): the idle task of CPU 1 left no record"},
		"not idle":    {append([]ktrace.Event{enter, idle}, asleep(10, 20)...), nil, 1, 1, "(by where the thread ran again: 1 on CPU 1)"},
		"just before": {append([]ktrace.Event{enter, {Kind: ktrace.Switch, Time: 3, TID: 0, Target: 7}, wake(9)}, asleep(10, 20)...), nil, 0, 0, ""},
		"said":        {append([]ktrace.Event{enter}, asleep(10, 20)...), []ktrace.Loss{{Source: "sched:sched_waking", Count: 3, From: 5, To: 30}}, 1, 3, "left no record"},
		"twice":       {append(append([]ktrace.Event{enter}, asleep(10, 20)...), asleep(30, 40)...), nil, 2, 2, "ended 2 sleeps"},
	} {
		p := NewPipeline(&Kernel{Arch: "amd64", Version: ktrace.Version{Major: 6, Minor: 18}, Catalog: catalog.Default()}, Options{})
		if name == "woken" { // in the order of time
			c.events = []ktrace.Event{enter, c.events[2], c.events[1], c.events[3]}
		}
		p.Feed(nil, c.losses)
		p.Feed(c.events, nil)
		p.Flush(0)
		said := strings.Join(p.Unobservable(), "; ")
		if p.Unwoken != c.want || p.Lost != c.lost || !strings.Contains(said, c.text) || c.text == "" && said != "" {
			t.Errorf("%s: %d sleeps without a wake, %d lost, %q, want %d, %d, %q", name, p.Unwoken, p.Lost, said, c.want, c.lost, c.text)
		}
	}
}

// A wake is counted, if records were lost that would have told what the thread
// waited in: it may be one of those that are reported.
func TestWakeInDoubt(t *testing.T) {
	for name, c := range map[string]struct {
		losses []ktrace.Loss
		want   string
	}{
		"nothing lost": {nil, ""},
		"a CPU":        {[]ktrace.Loss{{Source: "perf:cpu 1", Count: 1, From: 12, To: 14}}, "what the threads woken waited in: 1 further wake,"},
	} {
		p := NewPipeline(&Kernel{Arch: "amd64", Version: ktrace.Version{Major: 6, Minor: 18}, Catalog: catalog.Default()}, Options{})
		sleep := asleep(10, 20)
		p.Feed(nil, c.losses)
		p.Feed([]ktrace.Event{{Kind: ktrace.SysEnter, Time: 1, PID: 5, TID: 7, Nr: 271}, sleep[0], wake(15), sleep[1]}, nil)
		p.Flush(0)
		said := strings.Join(p.Unobservable(), "; ")
		if !strings.Contains(said, c.want) || c.want == "" && said != "" || (p.Total == 1) != (c.want == "") {
			t.Errorf("%s: %d wakes, %q, want %q", name, p.Total, said, c.want)
		}
	}
}

// The thread was not seen to get its CPU; that it ran is known from its next
// record, and its sleep has an end.
func TestSleepEndsWithoutSwitch(t *testing.T) {
	var calls []*Call
	p := NewPipeline(&Kernel{Arch: "amd64", Version: ktrace.Version{Major: 6, Minor: 18}, Catalog: catalog.Default()}, Options{OnCall: func(c *Call) { calls = append(calls, c) }})
	p.Feed([]ktrace.Event{
		{Kind: ktrace.SysEnter, Time: 1, PID: 5, TID: 7, Nr: 271}, asleep(10, 20)[0], wake(15),
		{Kind: ktrace.SysExit, Time: 30, PID: 5, TID: 7, Nr: 271},
	}, nil)
	p.Flush(0)
	if len(calls) != 1 || len(calls[0].Sleeps) != 1 || calls[0].Sleeps[0].To != 30 {
		t.Errorf("%d calls, sleeps %+v", len(calls), calls[0].Sleeps)
	}
}
