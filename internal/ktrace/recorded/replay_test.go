//go:build linux

package recorded_test

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/recorded"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const recordings = "../../../testdata/recordings/6.18.44/"

// kernelOf is the kernel that a recording was made on.
func kernelOf(t *testing.T, name string) *observe.Kernel {
	t.Helper()
	testenv.Tree(t, "../../../testdata/recordings")
	k, _, err := lab.Opened(recordings + name + ".jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// judged replays a recording and returns the wakes of threads in a call.
func judged(t *testing.T, name, call string) []*observe.Judged {
	t.Helper()
	k := kernelOf(t, name)
	var out []*observe.Judged
	p, err := recorded.Replay(recordings+name+".jsonl.gz", k, observe.Options{OnWake: func(j *observe.Judged) {
		if j.WakeeSyscall == call {
			out = append(out, j)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Lost != 0 || len(out) == 0 {
		t.Fatalf("%d wakes in %s, %d records lost", len(out), call, p.Lost)
	}
	return out
}

// Who woke is told by the chain: an interrupt or a kworker is not the thread
// on whose CPU it ran.
func TestWhoWoke(t *testing.T) {
	for _, c := range []struct {
		recording, call string
		context         match.Context
		interrupted     bool
		waker, callback string
	}{
		{"ppoll", "ppoll", match.Task, false, "write", "pollwake"},
		{"read", "read", match.Task, false, "write", "autoremove_wake_function"},
		{"epoll_wait", "epoll_pwait", match.Task, false, "write", "ep_poll_callback"},
		{"aio", "ppoll", match.Task, false, "io_submit", "pollwake"},
		{"io_uring_poll", "ppoll", match.Task, false, "write", "io_poll_wake"},
		{"timeout_ppoll", "ppoll", match.HardIRQ, true, "", ""},
		{"timerfd", "ppoll", match.HardIRQ, true, "", "pollwake"},
		{"pty", "ppoll", match.KWorker, false, "", "pollwake"},
		{"tcp", "ppoll", match.SoftIRQ, false, "write", "pollwake"},
		{"signal_ppoll", "ppoll", match.Task, false, "tgkill", ""},
	} {
		t.Run(c.recording, func(t *testing.T) {
			all := judged(t, c.recording, c.call)
			j := all[len(all)-1]
			if j.Context != c.context || j.Interrupted != c.interrupted || j.WakerSyscall != c.waker || j.Callback != c.callback {
				t.Errorf("context %s, interrupted %v, in %q through %q", j.Context, j.Interrupted, j.WakerSyscall, j.Callback)
			}
			if j.Latency() <= 0 || j.Sleep == nil || j.Sleep.From >= j.Time {
				t.Errorf("latency %d, sleep %+v", j.Latency(), j.Sleep)
			}
		})
	}
}

// What an io_uring polls is what woke, where the ring signals in that wake.
func TestWakePassedOn(t *testing.T) {
	for recording, want := range map[string][]string{
		"io_uring_poll":      {"pipe", "poll_wake", "io_uring"},
		"io_uring_poll_task": {"io_uring", "poll_wake"},
	} {
		all := judged(t, recording, "ppoll")
		j := all[len(all)-1]
		if d := cmp.Diff(want, j.WakePaths, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: paths (-want +got):\n%s", recording, d)
		}
		for _, s := range j.WakeChain.Steps {
			if s.Verdict == ktrace.Contradicted || s.Verdict == ktrace.Undocumented {
				t.Errorf("%s: %s -> %s %s: %s", recording, s.Caller, s.Callee, s.Verdict, s.Evidence)
			}
		}
	}
}

// frames of a chain, leaf first.
func stack(names ...string) []ktrace.Frame {
	var out []ktrace.Frame
	for _, n := range names {
		out = append(out, ktrace.Frame{Name: n})
	}
	return out
}

func TestTracker(t *testing.T) {
	var wakes []*observe.Wake
	var calls []*observe.Call
	tr := observe.NewTracker()
	tr.OnWake = func(w *observe.Wake) { wakes = append(wakes, w) }
	tr.OnCall = func(c *observe.Call) { calls = append(calls, c) }
	waking := stack("try_to_wake_up", "pollwake", "__wake_up_common", "eventfd_write", "vfs_write", "ksys_write", "do_syscall_64")
	for _, e := range []ktrace.Event{
		{Kind: ktrace.SysEnter, Time: 10, PID: 1, TID: 1, Nr: 271},
		{Kind: ktrace.Switch, Time: 15, PID: 1, TID: 1, Target: 2, Preempted: true}, // put off the CPU: not asleep
		{Kind: ktrace.Switch, Time: 16, PID: 2, TID: 2, Target: 1, Preempted: true},
		{Kind: ktrace.Switch, Time: 20, PID: 1, TID: 1, Target: 2, State: 1, Stack: stack("schedule")},
		{Kind: ktrace.SysEnter, Time: 30, PID: 2, TID: 2, Nr: 1, Args: [6]uint64{5}},
		{Kind: ktrace.Waking, Time: 40, PID: 2, TID: 2, Target: 1, Stack: waking},
		{Kind: ktrace.SysExit, Time: 45, PID: 2, TID: 2, Nr: 1, Ret: 8},
		{Kind: ktrace.Switch, Time: 50, PID: 2, TID: 2, Target: 1, State: 1},
		{Kind: ktrace.SysExit, Time: 60, PID: 1, TID: 1, Nr: 271, Ret: 1},
	} {
		tr.Event(&e)
	}
	if len(wakes) != 1 || len(calls) != 2 {
		t.Fatalf("%d wakes, %d calls", len(wakes), len(calls))
	}
	w := wakes[0]
	if w.Latency() != 10 || w.Waker.TID != 2 || w.Waker.Call == nil || w.Waker.Call.Args[0] != 5 || w.Wakee.TID != 1 || w.Wakee.Call == nil || w.Callback != "pollwake" || w.Lost {
		t.Errorf("%+v", w)
	}
	if w.Sleep == nil || w.Sleep.From != 20 || len(calls[1].Sleeps) != 1 {
		t.Errorf("sleep %+v of %d: being put off the CPU counts as sleeping", w.Sleep, len(calls[1].Sleeps))
	} else if s := calls[1].Sleeps[0]; s.From != 20 || s.To != 50 || s.Chain == nil || s.Chain.Time != 20 {
		t.Errorf("the call slept %+v, want from 20 to 50", s)
	}
	if w.Sleep != nil && w.Sleep.To != 50 {
		t.Errorf("the wake ended a sleep %+v, want one to 50", w.Sleep)
	}
	// What the lost records would have told is in doubt, and says so; what they
	// would not have is not.
	for _, c := range []struct {
		source           string
		doubtful, unsure bool // the call, the wake
	}{{"sched:sched_switch", false, true}, {"raw_syscalls:sys_exit", true, true}, {"sched:sched_waking", false, false}, {"watchpoint", false, false}, {"perf", true, true}} {
		at := tr.Now()
		tr.Event(&ktrace.Event{Kind: ktrace.SysEnter, Time: at + 10, PID: 1, TID: 1, Nr: 271})
		tr.Event(&ktrace.Event{Kind: ktrace.Switch, Time: at + 11, PID: 1, TID: 1, Target: 2, State: 1})
		tr.Loss(ktrace.Loss{Source: c.source, Count: 4, From: at + 12, To: at + 15})
		tr.Event(&ktrace.Event{Kind: ktrace.Waking, Time: at + 20, PID: 2, TID: 2, Target: 1, Stack: waking})
		wakes = nil
		tr.Flush()
		if len(wakes) != 1 || wakes[0].Lost != c.unsure || wakes[0].Latency() != -1 || wakes[0].Wakee.Call.Doubtful != c.doubtful {
			t.Errorf("after a loss of %s: %+v", c.source, wakes[0])
		}
	}
}

// A wake-up that was recorded with the chain of what an interrupt hit names
// nobody: neither the thread on whose CPU it ran nor its system call.
func TestWakeWithoutWaker(t *testing.T) {
	k := kernelOf(t, "timeout_ppoll")
	var got []*observe.Judged
	p := observe.NewPipeline(k, observe.Options{OnWake: func(j *observe.Judged) { got = append(got, j) }})
	hit := stack("perf_tp_event", "perf_trace_sys_exit", "syscall_exit_work", "do_syscall_64", "entry_SYSCALL_64_after_hwframe")
	p.Feed([]ktrace.Event{
		{Kind: ktrace.SysEnter, Time: 10, PID: 1, TID: 1, Nr: 271},
		{Kind: ktrace.Switch, Time: 20, PID: 1, TID: 1, Target: 2, State: 1, Stack: stack("__schedule", "schedule", "do_poll")},
		{Kind: ktrace.SysEnter, Time: 25, PID: 2, TID: 2, Comm: "innocent", Nr: 1, Args: [6]uint64{5}},
		{Kind: ktrace.Waking, Time: 30, PID: 2, TID: 2, Comm: "innocent", Target: 1, Stack: hit},
		{Kind: ktrace.Switch, Time: 40, PID: 2, TID: 2, Target: 1, State: 1, Stack: hit},
	}, nil)
	p.Flush(50)
	if len(got) != 1 {
		t.Fatalf("%d wakes", len(got))
	}
	j := got[0]
	if j.Context != match.Unknown || !j.Interrupted || j.WakerSyscall != "" || j.FD != -1 || len(j.WakePaths) != 0 || j.WakeChain != nil {
		t.Errorf("context %s, interrupted %v, in %q on %d, paths %v", j.Context, j.Interrupted, j.WakerSyscall, j.FD, j.WakePaths)
	}
	if s := j.Describe(); strings.Contains(s, "innocent") || !strings.Contains(s, observe.NoWaker) {
		t.Errorf("%s", s)
	}
	if j.WakeeSyscall != "ppoll" || j.SleepChain == nil {
		t.Errorf("the sleeper: in %q, chain %v", j.WakeeSyscall, j.SleepChain)
	}
	// The same of a sleep.
	j = k.Judge(&observe.Wake{Wakee: j.Wakee, Waking: ktrace.Event{Kind: ktrace.Waking, Stack: hit}, Sleep: &observe.Sleep{Chain: &ktrace.Event{Kind: ktrace.Switch, Stack: hit}}}, observe.Statement{})
	if j.SleepChain != nil {
		t.Errorf("a chain without the scheduler is judged as a sleep: %v", j.SleepChain.Findings())
	}
}
