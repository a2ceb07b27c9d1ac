//go:build linux

// Package observe is the pipeline from the kernel's events to reported wakes:
// waker and wakee, the call, the callback, the object, the latency, and the
// verdicts on the documented path.
package observe

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/ftrace"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/order"
)

// Call is one system call of one thread.
type Call struct {
	PID, TID    int
	Comm        string
	Nr          int
	Args        [6]uint64
	Enter, Exit int64 // Enter 0: it began before the observation did. Exit 0: it has not ended
	Ret         int64
	Doubtful    bool // records were lost while it ran: it may have ended, and another begun
	NoArgs      bool // Args were left out of the recording
	Sleeps      []*Sleep

	Trace *Trace // the function tracer's records, nil for none
	Way   *Way   // its verdicts, of calls that make objects to wait for
}

// Sleep is a stretch in which a thread was off the CPU of its own will.
type Sleep struct {
	From, To int64 // To 0: still
	Chain    *ktrace.Event

	woken bool // a wake is on record that came before the thread was off its CPU
}

// stack is the call chain of a sleep, nil if there is none or it is no evidence
// of how the thread went to sleep.
func (s *Sleep) stack() []ktrace.Frame {
	if s == nil || s.Chain == nil || !match.Sleeps(s.Chain) {
		return nil
	}
	return s.Chain.Stack
}

// Side is one end of a wake.
type Side struct {
	PID, TID int // TID 0: not known in this PID namespace
	Comm     string
	Call     *Call // nil: in no system call, or not known
}

// Wake is one wake-up.
type Wake struct {
	Time    int64 // of sched_waking
	Running int64 // when the woken thread got a CPU, 0: not seen
	Waker   Side
	Wakee   Side

	Context     match.Context
	Interrupted bool   // Waker is only whom the interrupt hit
	Callback    string // the object's own wait-queue entry, "" if no queue was walked
	Callbacks   []string

	Waking ktrace.Event
	Sleep  *Sleep // that it ended, nil if it was not seen
	Lost   bool   // records were lost between the sleep and the run: sides may be incomplete

	Object  string // the object that the wakee waits for, "" if unknown
	EventFD int    // the id of the eventfd among these, -1 if there is none or it is not known
	By      string // the object of the waker's fd if that is another, "" if unknown
	FD      int    // of the waker's call, -1 if unknown
	Runtime bool   // the wakee is the Go runtime's own poller
}

// Latency is the time from the waking to the running, -1 if the running
// was not seen.
func (w *Wake) Latency() int64 {
	if w.Running == 0 {
		return -1
	}
	return w.Running - w.Time
}

// Unwoken is a sleep that ended, and no record says by which wake.
type Unwoken struct {
	*Sleep
	Side
	CPU  int  // on which the thread ran again, and so was seen
	Lost bool // the source of wakes has said that it lost records in that time
}

type thread struct {
	pid     int
	comm    string
	call    *Call
	asleep  *Sleep // nil while it runs or is runnable
	began   int64  // when it got its CPU last
	woken   int64  // when it was woken last
	pending *Wake  // woken and not yet running
	trace   *Trace // of the call that it is in or was in last
	last    int64
}

// Tracker follows every thread through the events, which must come in the
// order of their times.
type Tracker struct {
	// OnWake gets each wake once the woken thread runs, or at the end.
	OnWake func(*Wake)
	// OnCall gets each system call when it ends. It may be nil.
	OnCall func(*Call)
	// OnUnwoken gets each sleep that ended without a record of a wake. It may be
	// nil.
	OnUnwoken func(*Unwoken)

	threads map[int]*thread
	noArgs  bool // events have no arguments
	sleeps  int  // that the calls of threads keep
	now     int64
	Lost    uint64 // records, of all sources

	lostCalls, lostRuns losses
	lostWakes           losses
	final               []int   // the numbers of the calls that end their thread
	ending              []*Call // such calls of late, the oldest first
	cuts                map[cutKey]cut
	callName            func(nr int) string // nil: the function tracer's records are not assigned to calls
}

// maxThreads bounds the memory spent on threads that may have ended.
const maxThreads = 1 << 15

// NewTracker returns a Tracker that knows no thread yet.
func NewTracker() *Tracker { return &Tracker{threads: map[int]*thread{}, cuts: map[cutKey]cut{}} }

// Known registers a call that a thread is in already.
func (t *Tracker) Known(pid, tid int, comm string, nr int, args [6]uint64) {
	th := t.thread(tid)
	th.pid, th.comm = pid, comm
	th.call = &Call{PID: pid, TID: tid, Comm: comm, Nr: nr, Args: args}
}

// Now is the time of the newest event.
func (t *Tracker) Now() int64 { return t.now }

func (t *Tracker) thread(tid int) *thread {
	th := t.threads[tid]
	if th == nil {
		if len(t.threads) >= maxThreads {
			t.forget()
		}
		th = &thread{}
		t.threads[tid] = th
	}
	th.last = t.now
	return th
}

// forget drops the half of the threads that was quiet for longest. Those of them
// that were woken are delivered as not seen to run.
func (t *Tracker) forget() {
	tids := order.Numbers(t.threads)
	sort.SliceStable(tids, func(i, j int) bool { return t.threads[tids[i]].last < t.threads[tids[j]].last })
	var woken []*Wake
	for _, tid := range tids[:len(tids)/2] {
		th := t.threads[tid]
		if th.pending != nil {
			woken = append(woken, th.pending)
		}
		t.drop(th.call)
		delete(t.threads, tid)
	}
	sort.Slice(woken, func(i, j int) bool { return woken[i].Time < woken[j].Time })
	for _, w := range woken {
		t.deliver(w)
	}
}

// maxSleeps bounds the sleeps that all calls keep, and maxCallSleeps those of
// one call.
const (
	maxSleeps     = 1 << 15
	maxCallSleeps = 64
)

// slept adds a sleep to a call. One that loops over many keeps the last ones.
func (t *Tracker) slept(c *Call, s *Sleep) {
	most := maxCallSleeps
	if t.sleeps >= maxSleeps {
		most = 2
	}
	if n := len(c.Sleeps); n >= most {
		c.Sleeps = slices.Delete(c.Sleeps, 0, n-most/2)
		t.sleeps -= n - most/2
	}
	c.Sleeps = append(c.Sleeps, s)
	t.sleeps++
}

// drop: a call is kept no longer.
func (t *Tracker) drop(c *Call) {
	if c != nil {
		t.sleeps -= len(c.Sleeps)
	}
}

// touches reports which facts the records of a source carry: the calls of
// threads, and when they run. A lost wake puts no other in doubt.
func touches(source string) (calls, runs bool) {
	switch source {
	case "raw_syscalls:sys_enter", "raw_syscalls:sys_exit":
		return true, false
	case "sched:sched_switch", perf.Tasks:
		return false, true
	case "sched:sched_waking", ftrace.Graph, ftrace.Function, "watchpoint", "kmem:kmalloc", "kmem:kfree", perf.Names:
		return false, false
	}
	return true, true
}

// Loss handles lost records. The facts about a thread that they would have
// carried are in doubt from then on.
func (t *Tracker) Loss(ls ...ktrace.Loss) {
	var calls, runs bool
	for _, l := range ls {
		t.Lost += l.Count
		c, r := touches(l.Source)
		if c {
			t.lostCalls.add(l)
		}
		if r {
			t.lostRuns.add(l)
		}
		if l.Source == "sched:sched_waking" || c && r {
			t.lostWakes.add(l)
		}
		calls, runs = calls || c, runs || r
	}
	if !calls && !runs {
		return
	}
	for _, th := range t.threads {
		if th.call != nil && calls {
			th.call.Doubtful = true
		}
		if th.pending != nil && runs {
			th.pending.Lost = true
		}
	}
}

// losses are the latest ones of a kind.
type losses []ktrace.Loss

func (ls *losses) add(l ktrace.Loss) {
	*ls = append(*ls, l)
	if len(*ls) > 1024 {
		*ls = slices.Delete(*ls, 0, 512)
	}
}

// overlap reports whether records were lost between two times.
func (ls losses) overlap(from, to int64) bool {
	return slices.ContainsFunc(ls, func(l ktrace.Loss) bool { return l.From <= to && from <= l.To })
}

// doubt marks a call during which records of calls were lost, and reports it.
func (t *Tracker) doubt(c *Call, now int64) bool {
	if c == nil {
		return false
	}
	c.Doubtful = c.Doubtful || t.lostCalls.overlap(c.Enter, now)
	return c.Doubtful
}

// Event takes the next event.
func (t *Tracker) Event(ev *ktrace.Event) {
	t.now = max(t.now, ev.Time)
	t.bury()
	switch ev.Kind {
	case ktrace.SysEnter:
		th := t.self(ev)
		t.drop(th.call)
		th.call = &Call{PID: ev.PID, TID: ev.TID, Comm: ev.Comm, Nr: ev.Nr, Args: ev.Args, Enter: ev.Time, NoArgs: t.noArgs}
		th.join(t)
		if slices.Contains(t.final, ev.Nr) {
			t.ending = append(t.ending, th.call)
			if len(t.ending) > maxEnding {
				t.ending = slices.Delete(t.ending, 0, maxEnding/2)
			}
		}
	case ktrace.FuncEntry:
		t.functionEntry(ev)
	case ktrace.SysExit:
		t.exit(ev)
	case ktrace.Switch:
		t.leave(ev)
		t.arrive(ev)
	case ktrace.Waking:
		t.waking(ev)
	}
}

// self is the thread that ran when ev happened.
func (t *Tracker) self(ev *ktrace.Event) *thread {
	th := t.thread(ev.TID)
	th.pid, th.comm = ev.PID, ev.Comm
	if ev.TID != 0 {
		t.runs(th, ev, 0) // when it began to was not recorded
	}
	return th
}

// runs: a thread that does something is awake. since is when it got its CPU, 0
// if that was not seen.
func (t *Tracker) runs(th *thread, ev *ktrace.Event, since int64) {
	if s := th.asleep; s != nil {
		s.To, th.asleep = ev.Time, nil
		if th.pending == nil && !s.woken {
			t.unwoken(th, s, ev)
		}
		th.began = ev.Time
	}
	if since != 0 {
		th.began = since
	}
	if w := th.pending; w != nil {
		th.pending = nil
		w.Running = since
		t.deliver(w)
	}
}

// unwoken reports a sleep of which no record shows the wake.
func (t *Tracker) unwoken(th *thread, s *Sleep, ev *ktrace.Event) {
	if t.OnUnwoken == nil {
		return
	}
	tid := ev.TID
	if ev.Kind == ktrace.Switch && ev.Target != 0 && t.threads[ev.Target] == th {
		tid = ev.Target
	}
	t.OnUnwoken(&Unwoken{Sleep: s, Side: Side{PID: th.pid, TID: tid, Comm: th.comm, Call: th.call}, CPU: ev.CPU, Lost: t.lostWakes.overlap(s.From, ev.Time)})
}

func (t *Tracker) exit(ev *ktrace.Event) {
	th := t.self(ev)
	c := th.call
	t.drop(c)
	th.call = nil
	if c == nil {
		c = &Call{Args: ev.Args}
	}
	if c.Nr != ev.Nr && c.Enter != 0 {
		// The exit of a call whose enter was lost.
		c = &Call{Doubtful: true}
	}
	c.PID, c.TID, c.Comm, c.Nr, c.Exit, c.Ret = ev.PID, ev.TID, ev.Comm, ev.Nr, ev.Time, ev.Ret
	if t.OnCall != nil {
		t.OnCall(c)
	}
}

// leave: the thread that ran leaves the CPU.
func (t *Tracker) leave(ev *ktrace.Event) {
	if ev.TID == 0 {
		return
	}
	th := t.self(ev)
	if ev.State&exited != 0 {
		t.end(ev.TID, th)
		return
	}
	if ev.Preempted || ev.State == 0 {
		return
	}
	th.asleep = &Sleep{From: ev.Time, Chain: clone(ev), woken: th.woken != 0 && th.woken >= th.began}
	if th.call != nil {
		t.slept(th.call, th.asleep)
	}
}

// exited are the bits of sched_switch's prev_state of a thread that has ended:
// EXIT_DEAD and EXIT_ZOMBIE.
const exited = 0x10 | 0x20

// exitGrace is how long a thread in its last call is kept: it wakes others
// there. That it left the CPU for good is not recorded if the events are
// its own, which the kernel takes away before.
const exitGrace = int64(time.Second)

// maxEnding bounds the calls that may be a thread's last. Beyond it the threads
// stay until others take their place.
const maxEnding = 1 << 13

// bury forgets the threads whose last call is long ago.
func (t *Tracker) bury() {
	n := 0
	for ; n < len(t.ending) && t.ending[n].Enter < t.now-exitGrace; n++ {
		c := t.ending[n]
		if th := t.threads[c.TID]; th != nil && th.call == c && th.asleep == nil && th.pending == nil {
			t.end(c.TID, th)
		}
	}
	t.ending = slices.Delete(t.ending, 0, n)
}

// end forgets a thread, whose TID may be reused.
func (t *Tracker) end(tid int, th *thread) {
	delete(t.threads, tid)
	t.drop(th.call)
	if th.call != nil && t.OnCall != nil {
		t.OnCall(th.call)
	}
}

// arrive: the thread that runs next.
func (t *Tracker) arrive(ev *ktrace.Event) {
	if ev.Target == 0 {
		return
	}
	th := t.thread(ev.Target)
	if ev.TargetComm != "" {
		th.comm = ev.TargetComm
	}
	t.runs(th, ev, ev.Time)
}

// cutKey is a chain, and whether the kernel cut it.
type cutKey struct {
	chainKey
	truncated bool
}

// cut holds the facts from the chain of a waking.
type cut struct {
	match.IRQSplit
	callbacks []string
	callback  string
}

func (t *Tracker) cut(ev *ktrace.Event) cut {
	key := cutKey{chainOf(ev.Stack), ev.Truncated}
	c, ok := t.cuts[key]
	if !ok {
		c.IRQSplit = match.SplitWaking(ev)
		c.callbacks, c.callback = match.Callbacks(c.Inner), match.Callback(c.Inner)
		if len(t.cuts) >= maxMatched {
			clear(t.cuts)
		}
		t.cuts[key] = c
	}
	return c
}

func (t *Tracker) waking(ev *ktrace.Event) {
	cut := t.cut(ev)
	w := &Wake{Time: ev.Time, Waking: *clone(ev), Context: cut.Context, Interrupted: cut.Interrupted, FD: -1, EventFD: -1}
	w.Callbacks, w.Callback = cut.callbacks, cut.callback
	w.Waker = Side{PID: ev.PID, TID: ev.TID, Comm: ev.Comm}
	if ev.TID != 0 {
		waker := t.self(ev)
		if !cut.Interrupted && cut.Context != match.KWorker {
			w.Waker.Call = waker.call
		}
	}
	w.Wakee = Side{TID: ev.Target, Comm: ev.TargetComm}
	if ev.Target == 0 {
		// Another PID namespace: its global number is all that is known.
		w.Lost = t.doubt(w.Waker.Call, ev.Time)
		t.deliver(w)
		return
	}
	th := t.thread(ev.Target)
	th.woken = ev.Time
	if th.pid != 0 {
		w.Wakee.PID = th.pid
	}
	w.Wakee.PID = cmp.Or(w.Wakee.PID, ev.TargetPID)
	if w.Wakee.Comm == "" {
		w.Wakee.Comm = th.comm
	}
	w.Wakee.Call, w.Sleep = th.call, th.asleep
	from := ev.Time
	if th.asleep != nil {
		from = th.asleep.From
	}
	if t.lostRuns.overlap(from, ev.Time) {
		// It may have been woken, and have gone to sleep elsewhere.
		w.Lost, w.Sleep = true, nil
	}
	w.Lost = t.doubt(w.Waker.Call, ev.Time) || t.doubt(w.Wakee.Call, ev.Time) || w.Lost
	if th.pending != nil {
		// Woken a second time before it ran: the first stands, and its running
		// is the same.
		t.deliver(th.pending)
	}
	th.pending = w
}

// woken is the time of the first waking since then of a thread that has not
// run yet, the end of time if there is none. Threads of other processes than
// those followed are not seen to run.
func (t *Tracker) woken(since int64, follows func(pid int) bool) int64 {
	first := int64(source.End)
	for _, th := range t.threads {
		if w := th.pending; w != nil && w.Time >= since && w.Time < first && follows(w.Wakee.PID) {
			first = w.Time
		}
	}
	return first
}

func (t *Tracker) deliver(w *Wake) {
	if t.OnWake != nil {
		t.OnWake(w)
	}
}

// Flush delivers the wakes whose woken thread was not seen running, and ends
// the picture.
func (t *Tracker) Flush() {
	var open []*Wake
	for _, th := range t.threads {
		if th.pending != nil {
			open = append(open, th.pending)
			th.pending = nil
		}
	}
	sort.Slice(open, func(i, j int) bool { return open[i].Time < open[j].Time })
	for _, w := range open {
		t.deliver(w)
	}
	var calls []*Call
	for _, th := range t.threads {
		if th.call != nil {
			calls = append(calls, th.call)
			th.call = nil
		}
	}
	sort.Slice(calls, func(i, j int) bool { return calls[i].Enter < calls[j].Enter })
	for _, c := range calls {
		if t.OnCall != nil {
			t.OnCall(c)
		}
	}
}

// clone keeps an event beyond the batch that it came in. Stacks are not
// written to after they were made.
func clone(ev *ktrace.Event) *ktrace.Event { c := *ev; return &c }
