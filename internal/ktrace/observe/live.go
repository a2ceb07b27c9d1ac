package observe

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
)

// Options say what a Session looks at and who is told.
type Options struct {
	PIDs   []int          // processes, with what they start
	OnWake func(*Judged)  // each wake that concerns them, in the order of time. On one goroutine
	OnCall func(*Call)    // each system call that they make of those that wait or signal
	Record *record.Writer // where all is kept as well; the session does not close it
	Calls  bool           // record the system calls too: without them a wake has no arguments, and costs half
}

// Session is a running observation.
type Session struct {
	Kernel *Kernel

	p    *Pipeline
	src  source.Source
	done chan struct{}
	err  chan error
	once sync.Once

	until atomic.Int64 // all events up to it will have been read
	last  error
}

// tick is how often the rings are read.
const tick = 50 * time.Millisecond

// Start begins to observe. Its error is an *ktrace.AccessError where something
// is missing.
func Start(o Options) (*Session, error) {
	k, table, err := ThisKernel()
	if err != nil {
		return nil, err
	}
	return StartOn(k, table, o)
}

// StartOn is Start with a kernel that is known already.
func StartOn(k *Kernel, table *ksym.Table, o Options) (*Session, error) {
	c := perf.Config{Symbols: table, PIDs: o.PIDs, Syscalls: k.Numbers()}
	if !o.Calls {
		c.Kinds = []ktrace.EventKind{ktrace.Waking, ktrace.Switch}
	}
	src, err := perf.Open(c)
	if err != nil {
		return nil, err
	}
	s := &Session{Kernel: k, src: src, done: make(chan struct{}), err: make(chan error, 1)}
	s.p = NewPipeline(k, o)
	s.p.follows = src.Follows
	s.p.live(o.PIDs)
	go func() {
		err := source.Run(src, tick, s.done, func(events []ktrace.Event, losses []ktrace.Loss) error {
			if o.Record != nil {
				if err := o.Record.Write(events, losses); err != nil {
					return err
				}
			}
			s.p.Feed(events, losses)
			return nil
		})
		s.p.Flush(s.until.Load())
		s.err <- err
	}()
	return s, nil
}

// Stop ends the observation, and returns once every wake was told.
func (s *Session) Stop() (*Pipeline, error) {
	s.once.Do(func() {
		s.until.Store(source.Now())
		close(s.done)
		s.last = <-s.err
		if err := s.src.Close(); s.last == nil {
			s.last = err
		}
	})
	return s.p, s.last
}

// Failed is closed early where reading failed.
func (s *Session) Failed() <-chan error { return s.err }

// Numbers are those of the calls that a wake can be about, and of those that
// change descriptors.
func (k *Kernel) Numbers() []int {
	var out []int
	for _, c := range numbers(k.Arch) {
		switch c.name {
		case "futex", "ioctl", "fcntl", "nanosleep", "clock_nanosleep", "wait4", "waitid", "socket", "clone", "clone3", "fork", "vfork":
			continue
		}
		out = append(out, c.nr)
	}
	return out
}
