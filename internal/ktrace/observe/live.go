//go:build linux

package observe

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/access"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/watch"
	"golang.org/x/sys/unix"
)

// Recorder stores the events of a source.
type Recorder interface {
	Write([]ktrace.Event, []ktrace.Loss) error
}

// Options select the objects of a Session and its receivers.
type Options struct {
	PIDs      []int          // processes, and their children
	OnWake    func(*Judged)  // each wake that concerns them, in the order of time but for those of threads that are not seen to run. All of these on one goroutine
	OnCall    func(*Call)    // each system call that they make of those that wait or signal
	OnChange  func(*Change)  // each change of a watched eventfd
	OnAlloc   func(*Change)  // each allocation of a call that has a documented path
	OnUnwoken func(*Unwoken) // each sleep of theirs that ended without a record of its wake
	OnBatch   func()         // after the events of one read were delivered
	Record    Recorder       // where all is kept as well; the session does not close it
	Partial   bool           // the events are those of some threads and times: that a wake is not among them says nothing
	NoArgs    bool           // the events are a recording's that has no arguments
	Calls     bool           // record system calls and sleeps too: without them a wake has neither arguments nor latency
	Watch     bool           // watch the eventfds that they make, as far as watchpoints go
	Trace     bool           // trace the functions that they enter, as far as the kernel lets it

	// Stated returns the statement on a wake, nil for none. A wake with one is
	// reported even if it concerns nobody.
	Stated func(*Wake) *Statement

	// Opened is called when all is open and nothing was read yet. It gives Record,
	// and ends the session with its error.
	Opened func(*Session) (Recorder, error)

	Functions   *Functions    // opened before for Trace; nil: Start opens it. The session closes it, also if it does not begin
	NoFunctions error         // why there are none for Trace
	Witness     *match.Tracer // the functions that the tracer of the events can show; of Functions, if that is set
}

// Session is a running observation.
type Session struct {
	Kernel  *Kernel
	NoTrace error // why Options.Trace traces nothing, nil if it does or was not asked for
	NoWatch error // why Options.Watch watches nothing, nil if it does or was not asked for
	NoChain error // why call chains are not whole, nil if they are

	p     *Pipeline
	perf  *perf.Source
	src   *source.Merged
	watch *watch.Source
	done  chan struct{}
	ended chan struct{} // closed when nothing more is read
	once  sync.Once

	reads chan struct{} // closed when the first reading was made
	begun bool
	until atomic.Int64 // all events up to it will have been read
	last  error

	mu         sync.Mutex
	barriers   []*barrier
	stopping   atomic.Bool  // Stop was called
	reader     atomic.Int64 // the thread that reads, and calls the functions of Options
	upTo       atomic.Int64 // the time up to which events were fed
	delivering atomic.Int64 // since when an OnWake function runs; 0 for none
	failed     error        // of the reading, once ended is closed
}

// How often the rings are read. An eventfd goes unwatched from its making to
// the next reading.
const (
	tick      = 20 * time.Millisecond
	watchTick = time.Millisecond
)

// Start begins to observe. Its error is an *ktrace.AccessError if something
// is missing.
func Start(o Options) (*Session, error) {
	o.tap()
	if err := Observable(runtime.GOARCH); err != nil {
		return nil, err
	}
	if err := access.Permitted(); err != nil {
		return nil, access.AllMissing(err)
	}
	k, table, err := ThisKernel()
	if err != nil {
		return nil, access.AllMissing(err)
	}
	if o.Trace && o.Calls {
		o.Functions, o.NoFunctions = k.OpenFunctions(table, TraceReading)
	} else if o.Trace {
		o.NoFunctions = errors.New("the functions are those of system calls, which were to be left out")
	}
	return StartOn(k, table, o)
}

// TraceReading bounds one read of the function tracer's output, and so its
// memory.
const TraceReading = 1 << 20

// StartOn is Start with a kernel that is known already.
func StartOn(k *Kernel, table *ksym.Table, o Options) (*Session, error) {
	if err := Observable(k.Arch); err != nil {
		if o.Functions != nil {
			o.Functions.Close()
		}
		return nil, err
	}
	release, err := access.Wakes(table)
	defer release()
	var src *perf.Source
	if err == nil {
		src, err = openPerf(k, table, &o)
	}
	if err != nil {
		if o.Functions != nil {
			o.Functions.Close()
		}
		return nil, access.AllMissing(err)
	}
	s := &Session{Kernel: k, NoChain: access.Chains(), NoTrace: o.NoFunctions, perf: src, done: make(chan struct{}), ended: make(chan struct{}), reads: make(chan struct{})}
	if o.Functions != nil {
		o.Witness = o.Functions.Witness
	}
	s.timed(&o)
	s.p = NewPipeline(k, o)
	s.p.follows = src.Follows
	if o.Calls {
		s.p.live(o.PIDs)
	}
	all, every := []source.Source{src}, tick
	if o.Watch {
		s.watch, s.NoWatch = watch.Open(watch.Config{Symbols: table, Wanted: func(pid, _ int) bool { return startedBy(pid, src.Follows) }})
	}
	if s.watch != nil {
		all, every = append(all, s.watch), watchTick
	}
	s.p.Watching = o.Watch
	go s.read(&o, all, every)
	// On a busy machine the reader may take long to get its thread and its
	// priority; nothing may remain unread until then.
	select {
	case <-s.reads:
	case <-s.ended:
	}
	return s, nil
}

// read reads the sources until the end, on one thread.
func (s *Session) read(o *Options, all []source.Source, every time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s.reader.Store(int64(unix.Gettid()))
	defer func() {
		s.reader.Store(0)
		s.failed = s.last
		close(s.ended)
	}()
	if o.Functions != nil { // not of this thread, which reads the trace
		if s.NoTrace = o.Functions.Source.TraceProcesses(o.PIDs); s.NoTrace == nil {
			all = append(all, o.Functions)
		} else {
			o.Functions.Close()
		}
	}
	s.src = source.Merge(all...)
	s.p.without(s)
	if o.Opened != nil {
		if o.Record, s.last = o.Opened(s); s.last != nil {
			return
		}
	}
	s.last = source.Run(s.src, every, s.done, func(events []ktrace.Event, losses []ktrace.Loss) error { return s.feed(o, events, losses) })
	s.p.Flush(s.until.Load())
	if o.OnBatch != nil {
		o.OnBatch()
	}
}

// openPerf opens the tracepoints. Only wakes are recorded of the whole system:
// all else comes from events of the processes' own threads, so that a machine
// that is busy with other things pushes nothing of it out.
func openPerf(k *Kernel, table *ksym.Table, o *Options) (*perf.Source, error) {
	c := perf.Config{Symbols: table, PIDs: o.PIDs, Syscalls: k.Numbers(), Started: true}
	if !o.Calls {
		c.Kinds = []ktrace.EventKind{ktrace.Waking}
		return perf.Open(c)
	}
	if perThread(o.PIDs) {
		own := c
		own.Tasks, own.System = o.PIDs, []ktrace.EventKind{ktrace.Waking}
		src, err := perf.Open(own)
		if err == nil || !errors.Is(err, unix.EMFILE) {
			return src, err
		}
	}
	return perf.Open(c)
}

// perThread reports whether there are descriptors enough for events of each
// thread.
func perThread(pids []int) bool {
	cpus, err := perf.CPUs()
	if err != nil {
		return false
	}
	threads := 0
	for _, pid := range pids {
		threads += len(perf.Threads(pid))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return false
	}
	const events = 4 // of a thread on a CPU: switches, enters and exits of calls, its end
	return uint64(threads*len(cpus)*events) <= min(limit.Cur/2, 1<<14)
}

// feed processes the events of one read.
func (s *Session) feed(o *Options, events []ktrace.Event, losses []ktrace.Loss) error {
	if !s.begun {
		s.begun = true
		close(s.reads)
	}
	// Our own look at an eventfd takes its lock too.
	events = slices.DeleteFunc(events, func(e ktrace.Event) bool { return e.Kind == ktrace.Watch && asksFdinfo(e.Stack) })
	if o.Record != nil {
		if err := o.Record.Write(events, losses); err != nil {
			return err
		}
	}
	s.p.Feed(events, losses)
	upTo := s.src.Watermark()
	if upTo != source.End {
		s.p.Passed(upTo)
	}
	if err := s.pass(o, upTo); err != nil {
		return err
	}
	if o.OnBatch != nil && len(events) > 0 {
		o.OnBatch()
	}
	return nil
}

// stopTimeout is how long Stop lets the reader catch up.
const stopTimeout = 2 * time.Second

// Stop ends the observation and returns after every wake was delivered.
func (s *Session) Stop() (*Pipeline, error) {
	if err := s.onReader(); err != nil {
		return nil, err
	}
	s.once.Do(func() {
		s.stopping.Store(true)
		// The descriptors of the last events are looked up while close calls
		// are still recorded.
		b := s.barrier(false)
		select {
		case <-b.passed:
		case <-time.After(stopTimeout):
			s.drop(b)
		case <-s.ended:
		}
		s.until.Store(source.Now())
		close(s.done)
		<-s.ended
		if f := s.Functions(); f != nil && f.Source.Off() {
			s.p.Without = append(s.p.Without, "entries of functions: kernel.ftrace_enabled was 0 for a time, or still is; as root set it to 1")
		}
		if s.watch != nil {
			s.p.Watched, s.p.Unwatched = s.watch.Armed(), s.watch.Unwatched()
		}
		if err := s.src.Close(); s.last == nil {
			s.last = err
		}
	})
	return s.p, s.last
}

// Living are the observed processes that had not ended when Stop returned.
func (s *Session) Living() []int { return s.perf.Living() }

// Functions traces the functions of the session's processes, as far as
// possible; nil if none is traced.
func (s *Session) Functions() *Functions {
	if s.NoTrace != nil {
		return nil
	}
	return s.p.o.Functions
}

// Watches reports whether new eventfds are watched.
func (s *Session) Watches() bool { return s.watch != nil }

// Without lists the requested parts that are unavailable, with the reasons.
func (s *Session) Without() []string { return s.p.Without }

// Ended is closed when nothing more is read: after Stop, or early if reading
// failed. Stop has the error.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Numbers are those of the calls that a wake can be about, and of those that
// change descriptors.
func (k *Kernel) Numbers() []int {
	return catalog.DefaultModel().Arch(k.Arch).Numbers(func(c *catalog.Call) bool { return !c.Quiet })
}
