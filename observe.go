//go:build linux

package efd

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
)

// Wake is one wake-up of a thread that waited, as the kernel was seen to make
// it. Wakes that came the same way share the edges of their paths, which are
// not to be changed.
type Wake struct {
	Waker, Wakee Side
	Object       string        // the object that Wakee waits for: "eventfd 5 (id 12)", "" if unknown
	EventFD      int           // the id of the eventfd that Object is, as [EventFD.Info] has it; -1 if it is none or its id is not known
	Callback     string        // the wait-queue entry's function that did the waking, by its kernel name; "" if no queue was walked, as for a time-out
	Callbacks    []string      // all of them, the object's own first: ep_poll_callback, then the epoll's
	Path         Path          // the call chain of the waking, compared with the documented path; with TraceFunctions every edge that is documented for the call
	Sleep        Path          // the same of the chain with which the wakee had gone to sleep
	Latency      time.Duration // from the waking to the running; -1 if the running was not seen
	Time         time.Duration // of the waking, on CLOCK_MONOTONIC
	Runtime      bool          // the wakee is the poller of a Go runtime
	Incomplete   bool          // records were lost while it was in flight, or its call chain is not that of a waking: absent fields may have had values
}

// Change is one change of a watched eventfd, as [WatchEventfds] reports them:
// of its counter, or of its wait queue.
type Change struct {
	By     Side          // whose call it was; without a thread if an interrupt did it
	Object string        // "eventfd 5 (id 12)", "an eventfd" if its number is not known
	What   string        // the operation, in a few words: "was put on the wait queue of"
	Field  string        // the memory that was written: "count" or "wqh.lock"
	Path   Path          // the call chain, compared with the documented path of the call
	Time   time.Duration // on CLOCK_MONOTONIC
}

// Side is one end of a [Wake]. PIDs and TIDs are those of the observer's PID
// namespace, 0 if a thread has none there.
type Side struct {
	PID, TID int
	Comm     string
	Syscall  string // that it was in, "" for none
	FD       int    // that call's descriptor, -1 if unknown
	Context  string // task, softirq, hardirq or kworker: the execution context of the waking; "unknown" if the recorded chain does not show it. A thread that an interrupt hit is not its waker
}

// Report holds the results of an [Observation].
type Report struct {
	Kernel string // uname -r
	Wakes  []Wake // the newest, up to a bound of 4096
	Total  int    // of all wakes that concern an eventfd, poll, select or epoll
	Lost   int    // records that never arrived, Unwoken among them: above 0, wakes may be missing from Wakes

	LostBy       map[string]int // the same by the source that they are of, such as "sched:sched_waking"
	Changes      []Change       // of watched eventfds, the newest, up to a bound of 4096
	TotalChanges int
	Unwoken      int      // sleeps in poll, select, epoll or on an eventfd that ended, and no record says by which wake: Unobservable says on which CPUs
	Unobservable []string // the requested parts that could not be observed, with the reason
}

// Observation is a running [Observe].
type Observation struct {
	s *observe.Session

	mu      sync.Mutex
	wakes   newest[Wake]
	changes newest[Change]
	seen    int // changes

	paths map[judged]Path // of late, so that each is made once
}

// maxKept bounds the wakes that a Report keeps, and the changes.
const maxKept = 4096

// newest keeps the last maxKept values.
type newest[T any] struct {
	ring  []T
	start int
}

func (n *newest[T]) add(v T) {
	if len(n.ring) < maxKept {
		n.ring = append(n.ring, v)
		return
	}
	n.ring[n.start] = v
	n.start = (n.start + 1) % maxKept
}

func (n *newest[T]) all() []T {
	return append(append([]T(nil), n.ring[n.start:]...), n.ring[:n.start]...)
}

// ObserveOption is an option of [Observe].
type ObserveOption func(*observeOptions)

type observeOptions struct {
	onWake []func(Wake)
	pids   []int
	light  bool
	watch  bool
	trace  bool
}

// OnWake registers fn, which is called with each wake, in the order of their
// times except those of threads that are not seen to run, on a goroutine of the
// observation: some 50 ms after the woken thread ran, and before
// [Observation.Stop] returns, or [Observation.Sync] for an earlier wake. fn
// cannot call these two, and while it runs nothing is read: a slow fn causes
// lost records.
func OnWake(fn func(Wake)) ObserveOption {
	return func(o *observeOptions) { o.onWake = append(o.onWake, fn) }
}

// WakesOnly leaves system calls and sleeps out: a wake then has no descriptor,
// no object and no latency, the woken thread's call is unknown, and an observed
// wake costs a small part of its usual cost.
func WakesOnly() ObserveOption { return func(o *observeOptions) { o.light = true } }

// WatchEventfds watches the eventfds that this process and its children make
// from then on, with the processor's watchpoints: their counters, and the locks
// of their wait queues, so that [Report.Changes] shows the threads that enter
// and leave a queue or change a counter. An x86 processor can watch two
// eventfds at a time. An eventfd is watched from a few milliseconds after its
// creation, on a busy machine later: once [Observation.Changes] counts a write
// to it, of 0 too, it is. Each of its changes costs some 20 µs. If watching is
// unavailable, [Report.Unobservable] has the reason. With [WakesOnly] the
// eventfds have no names.
func WatchEventfds() ObserveOption { return func(o *observeOptions) { o.watch = true } }

// TraceFunctions records with the kernel's function tracer the documented
// functions that the threads of this process and its children enter. The paths
// of a wake then have every documented edge of both calls, also those that no
// call chain shows: functions that were reached by a tail call or that had
// returned before. Such an edge's Evidence names the tracer. Without a tracer,
// as on a kernel in lockdown, or with [WakesOnly], [Report.Unobservable] has
// the reason. It slows calls down: two threads that only woke each other, on
// one emulated CPU, did so half to a ninth as often. Lost records of the tracer
// make edges inconclusive, and no wake.
func TraceFunctions() ObserveOption { return func(o *observeOptions) { o.trace = true } }

// Observe watches the kernel wake the threads of this process that wait for
// descriptors, and those that this process wakes. It needs the kernel's
// scheduler tracepoints with their call chains and the names of kernel
// functions: root has them, or CAP_PERFMON and CAP_SYSLOG if root has made a
// mounted tracefs readable. [WatchEventfds] takes root. The error says all that
// is missing and the smallest change that gives it; it is [os.ErrPermission] if
// a privilege is. See perf_event_open(2).
//
// Of a goroutine in a method that takes a context, such as
// [EventFD.ReadContext], less can be asserted: it waits in Go's poller and has no
// thread that could be woken, so that none of the wakes is of its thread. The
// poller is often awake for a timer, or not there, and finds the write by itself:
// of 100 writes to one waiter, 3 ms apart on a busy machine, 24 to 39 woke it for
// a ReadContext and 18 to 38 for an [Epoll.WaitContext], with [Wake.Runtime], and
// 99 or 100 the thread in a [Poll] or [Epoll.Wait]. The goroutine's own calls show
// that it waited and was served: see [AddTracer]. Package efdtest asserts both.
//
// Each wake then costs the program some 15 µs more, about 2 µs with
// [WakesOnly]: one that does nothing but hand an eventfd to and fro runs five
// times as long, and with WakesOnly not twice. Wakes are recorded of the whole
// system, so that other programs' cost a microsecond or two as well, and some
// of this process's time goes into reading them. To begin takes about a tenth
// of a second, since the kernel's symbols are read, and to stop as long.
func Observe(opts ...ObserveOption) (*Observation, error) {
	o := observeOptions{pids: []int{os.Getpid()}}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("efd: Observe: option is nil")
		}
		opt(&o)
	}
	for _, fn := range o.onWake {
		if fn == nil {
			return nil, errors.New("efd: Observe: OnWake: fn is nil")
		}
	}
	ob := &Observation{}
	s, err := observe.Start(observe.Options{PIDs: o.pids, Calls: !o.light, Watch: o.watch, Trace: o.trace, OnWake: func(j *observe.Judged) {
		w := ob.wakeOf(j)
		ob.mu.Lock()
		ob.wakes.add(w)
		ob.mu.Unlock()
		for _, fn := range o.onWake {
			fn(w)
		}
	}, OnChange: func(c *observe.Change) {
		ob.mu.Lock()
		ob.changes.add(ob.changeOf(c))
		ob.seen++
		ob.mu.Unlock()
	}})
	if err != nil {
		return nil, err
	}
	ob.mu.Lock()
	ob.s = s
	ob.mu.Unlock()
	return ob, nil
}

// Stop ends the observation. A second Stop returns the same report.
func (o *Observation) Stop() (*Report, error) {
	if o == nil || o.s == nil {
		return nil, o.fail("Stop", os.ErrInvalid)
	}
	p, err := o.s.Stop()
	if p == nil {
		return nil, o.fail("Stop", err)
	}
	r := &Report{Kernel: o.s.Kernel.Release, Total: p.Total, Lost: int(p.Lost), LostBy: map[string]int{}, TotalChanges: p.Changes, Unwoken: p.Unwoken}
	for source, n := range p.LostBy {
		r.LostBy[source] = int(n)
	}
	r.Unobservable = append(r.Unobservable, p.Unobservable()...)
	o.mu.Lock()
	defer o.mu.Unlock()
	r.Wakes, r.Changes = o.wakes.all(), o.changes.all()
	return r, err
}

// Changes is how many changes of watched eventfds were seen so far.
func (o *Observation) Changes() int {
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

func (o *Observation) changeOf(c *observe.Change) Change {
	out := Change{Object: c.Object, What: c.What, Field: c.Event.Field, Time: time.Duration(c.Event.Time), Path: o.path(c.Kernel, c.Path, c.Chain, nil)}
	out.By = Side{PID: c.Side.PID, TID: c.Side.TID, Comm: c.Side.Comm, Syscall: c.Syscall, FD: c.FD, Context: string(c.Context)}
	return out
}

func (o *Observation) wakeOf(j *observe.Judged) Wake {
	w := Wake{
		Waker:  Side{PID: j.Waker.PID, TID: j.Waker.TID, Comm: j.Waker.Comm, Syscall: j.WakerSyscall, FD: j.FD, Context: string(j.Context)},
		Wakee:  Side{PID: j.Wakee.PID, TID: j.Wakee.TID, Comm: j.Wakee.Comm, Syscall: j.WakeeSyscall, FD: j.WakeeFD(), Context: string(match.Task)},
		Object: j.Object, EventFD: j.EventFD, Callback: j.Callback, Callbacks: j.Callbacks, Latency: time.Duration(j.Latency()), Time: time.Duration(j.Time),
		Runtime: j.Runtime, Incomplete: j.Lost || j.Context == match.Unknown,
		Path: o.path(j.Kernel, first(j.WakePaths), j.WakeChain, j.Waked), Sleep: o.path(j.Kernel, first(j.SleepPaths), j.SleepChain, j.Sleeping),
	}
	if j.Interrupted {
		w.Waker.PID, w.Waker.TID, w.Waker.Comm = 0, 0, ""
	}
	return w
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// judged is the source of a Path: a way if functions were traced, else a chain.
type judged struct {
	chain *match.Chain
	way   *observe.Way
}

func (j judged) steps() []match.Step {
	switch {
	case j.way != nil:
		return j.way.Steps
	case j.chain != nil:
		return j.chain.Steps
	}
	return nil
}

// path converts a judgement to a Path. All calls come from one goroutine.
func (o *Observation) path(kernel, name string, c *match.Chain, w *observe.Way) Path {
	of := judged{c, w}
	if of == (judged{}) || name == "" {
		return Path{}
	}
	if p, ok := o.paths[of]; ok {
		return p
	}
	p := Path{Name: name, Kernel: kernel}
	for _, s := range of.steps() {
		p.Edges = append(p.Edges, Edge{Caller: s.Caller, Callee: s.Callee, File: s.File, Line: s.Line, Kind: string(s.Kind), Note: s.Note,
			Verdict: Verdict(s.Verdict), Evidence: s.Evidence})
	}
	if o.paths == nil || len(o.paths) >= 512 {
		o.paths = map[judged]Path{}
	}
	o.paths[of] = p
	return p
}
