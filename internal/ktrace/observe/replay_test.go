//go:build linux

package observe

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/record"
)

// lossy is what a pipeline reports of events among which some are lost.
type lossy struct {
	p     *Pipeline
	wakes []string
}

func newLossy() *lossy {
	l := &lossy{}
	l.p = NewPipeline(&Kernel{Arch: "amd64", Version: ktrace.Version{Major: 6, Minor: 18}, Catalog: catalog.Default()}, Options{Calls: true, OnWake: func(j *Judged) {
		l.wakes = append(l.wakes, fmt.Sprintf("%d: %d woke %d out of %q, lost %v, latency %d, slept %v", j.Time, j.Waker.TID, j.Wakee.TID, j.WakeeSyscall, j.Lost, j.Latency(), j.Sleep != nil))
	}})
	return l
}

func (l *lossy) report() string {
	p := l.p
	return fmt.Sprintf("%d wakes, %d ignored, %d lost %v, %d unwoken, %d in doubt: %q\n%q", p.Total, p.Ignored, p.Lost, p.LostBy, p.Unwoken, p.doubted, p.Unobservable(), l.wakes)
}

// A recording with losses gives the report that was given live.
func TestReplayNearLosses(t *testing.T) {
	losing := []string{"sched:sched_switch", "sched:sched_waking", "raw_syscalls:sys_enter", "raw_syscalls:sys_exit", "perf"}
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		live := newLossy()
		var file bytes.Buffer
		w, err := record.NewWriter(&file, record.Header{Release: "6.18.0", Arch: "amd64"}, record.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for batch := range int64(50) {
			var events []ktrace.Event
			for i := range int64(8) {
				events = append(events, polled(7+r.IntN(5), 1000*(8*batch+i)+1)...)
			}
			var losses []ktrace.Loss
			if r.IntN(4) == 0 { // the ring that ran over holds older records still
				from := events[0].Time + int64(r.IntN(4000))
				losses = []ktrace.Loss{{Source: losing[r.IntN(len(losing))], Count: 3, From: from, To: from + 1500}}
				n := r.IntN(len(events) - 3)
				events = slices.Delete(events, n, n+3)
			}
			if err := w.Write(events, losses); err != nil {
				t.Fatal(err)
			}
			live.p.Feed(events, losses)
		}
		live.p.Flush(0)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		replayed := newLossy()
		in, err := record.NewReader(&file)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.Replay(func(e []ktrace.Event, l []ktrace.Loss) error { replayed.p.Feed(e, l); return nil }, nil); err != nil {
			t.Fatal(err)
		}
		replayed.p.Flush(0)
		if live, again := live.report(), replayed.report(); live != again {
			t.Fatalf("seed %d: live\n%.2000s\nreplayed\n%.2000s", seed, live, again)
		}
	}
}

// polled has a thread sleep in ppoll and be woken, within a microsecond.
func polled(tid int, at int64) []ktrace.Event {
	stack := []ktrace.Frame{{Name: "__schedule"}, {Name: "schedule"}, {Name: "do_sys_poll"}, {Name: "__x64_sys_ppoll"}, {Name: "do_syscall_64"}}
	return []ktrace.Event{
		{Kind: ktrace.SysEnter, Source: "raw_syscalls:sys_enter", Time: at, PID: 5, TID: tid, Nr: 271},
		{Kind: ktrace.Switch, Source: "sched:sched_switch", Time: at + 100, CPU: 1, PID: 5, TID: tid, State: 1, Stack: stack},
		{Kind: ktrace.Waking, Source: "sched:sched_waking", Time: at + 200, PID: 6, TID: 6, Target: tid},
		{Kind: ktrace.Switch, Source: "sched:sched_switch", Time: at + 300, CPU: 1, TID: 0, Target: tid},
		{Kind: ktrace.SysExit, Source: "raw_syscalls:sys_exit", Time: at + 400, PID: 5, TID: tid, Nr: 271, Ret: 1},
	}
}
