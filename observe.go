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
// it.
type Wake struct {
	Waker, Wakee Side
	Object       string        // what it happened on: "eventfd 5 (id 12)", "" where not known
	Callback     string        // the wait-queue entry's function that did the waking, by its kernel name; "" where no queue was walked, as for a time-out
	Callbacks    []string      // all of them, the object's own first: ep_poll_callback, then the epoll's
	Path         Path          // the call chain of the waking, held against the documented path
	Sleep        Path          // the same of the chain with which the wakee had gone to sleep
	Latency      time.Duration // from the waking to the running; -1 where the running was not seen
	Time         time.Duration // of the waking, on CLOCK_MONOTONIC
	Runtime      bool          // the wakee is the poller of a Go runtime
	Incomplete   bool          // records were lost beside it, or its call chain is not that of a waking: what is missing here may have been there
}

// Side is one end of a [Wake]. Numbers are those of the observer's PID
// namespace, 0 where a thread has none there.
type Side struct {
	PID, TID int
	Comm     string
	Syscall  string // that it was in, "" for none
	FD       int    // that call's descriptor, -1 where not known
	Context  string // task, softirq, hardirq or kworker: what the waking ran in; "unknown" where the recorded chain does not tell. A thread that an interrupt hit is not its waker
}

// Report is what an [Observation] saw.
type Report struct {
	Kernel string // uname -r
	Wakes  []Wake // the newest, up to a bound of 4096
	Total  int    // of all wakes that concern an eventfd, poll, select or epoll
	Lost   int    // records that never arrived
}

// Observation is a running [Observe].
type Observation struct {
	s *observe.Session

	mu    sync.Mutex
	wakes []Wake
	start int // of the ring in wakes
}

// maxWakes bounds the wakes that a Report keeps.
const maxWakes = 4096

// ObserveOption is an option of [Observe].
type ObserveOption func(*observeOptions)

type observeOptions struct {
	onWake []func(Wake)
	pids   []int
	light  bool
}

// OnWake has fn called with each wake, in order, on a goroutine of the
// observation: some 50 ms after it happened, and before [Observation.Stop]
// returns. fn must not call Stop.
func OnWake(fn func(Wake)) ObserveOption {
	return func(o *observeOptions) { o.onWake = append(o.onWake, fn) }
}

// WakesOnly leaves the system calls out: a wake then has no descriptor and no
// object, and costs about half.
func WakesOnly() ObserveOption { return func(o *observeOptions) { o.light = true } }

// Observe watches the kernel wake the threads of this process that wait for
// descriptors, and those that this process wakes. It needs the kernel's
// scheduler tracepoints with their call chains and the names of kernel
// functions, which as a rule only root may have; the error says what is missing
// and the smallest change that gives it. See perf_event_open(2).
func Observe(opts ...ObserveOption) (*Observation, error) {
	o := observeOptions{pids: []int{os.Getpid()}}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("efd: Observe: option is nil")
		}
		opt(&o)
	}
	ob := &Observation{}
	s, err := observe.Start(observe.Options{PIDs: o.pids, Calls: !o.light, OnWake: func(j *observe.Judged) {
		w := wakeOf(j)
		ob.keep(w)
		for _, fn := range o.onWake {
			fn(w)
		}
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
	p, err := o.s.Stop()
	r := &Report{Kernel: o.s.Kernel.Release, Total: p.Total, Lost: int(p.Lost)}
	o.mu.Lock()
	defer o.mu.Unlock()
	r.Wakes = append(append(r.Wakes, o.wakes[o.start:]...), o.wakes[:o.start]...)
	return r, err
}

func (o *Observation) keep(w Wake) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.wakes) < maxWakes {
		o.wakes = append(o.wakes, w)
		return
	}
	o.wakes[o.start] = w
	o.start = (o.start + 1) % maxWakes
}

func wakeOf(j *observe.Judged) Wake {
	w := Wake{
		Waker:  Side{PID: j.Waker.PID, TID: j.Waker.TID, Comm: j.Waker.Comm, Syscall: j.WakerSyscall, FD: j.FD, Context: string(j.Context)},
		Wakee:  Side{PID: j.Wakee.PID, TID: j.Wakee.TID, Comm: j.Wakee.Comm, Syscall: j.WakeeSyscall, FD: j.WakeeFD(), Context: string(match.Task)},
		Object: j.Object, Callback: j.Callback, Callbacks: j.Callbacks, Latency: time.Duration(j.Latency()), Time: time.Duration(j.Time),
		Runtime: j.Runtime, Incomplete: j.Lost || j.Context == match.Unknown,
		Path: pathOf(j, j.WakePaths, j.WakeChain), Sleep: pathOf(j, j.SleepPaths, j.SleepChain),
	}
	if j.Interrupted {
		w.Waker.PID, w.Waker.TID, w.Waker.Comm = 0, 0, ""
	}
	return w
}

// pathOf is a judged chain as a Path.
func pathOf(j *observe.Judged, names []string, c *match.Chain) Path {
	if c == nil || len(names) == 0 {
		return Path{}
	}
	p := Path{Name: names[0], Kernel: j.Kernel}
	for _, s := range c.Steps {
		p.Edges = append(p.Edges, Edge{Caller: s.Caller, Callee: s.Callee, File: s.File, Line: s.Line, Kind: string(s.Kind), Note: s.Note,
			Verdict: Verdict(s.Verdict), Evidence: s.Evidence})
	}
	return p
}
