//go:build linux

// Package scenario has the kernel systems of the project as programs: each
// makes real calls in which one thread sleeps and another activity wakes it. A
// scenario knows that its waiter sleeps before it acts, and cleans up.
package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/clock"
	"golang.org/x/sys/unix"
)

// Scenario is one system, or one way through it.
type Scenario struct {
	Name   string
	System int    // row of the table of systems
	Title  string // one line
	Demo   bool   // part of demo without arguments

	Source    string   // documented path of the wake source
	Waiter    string   // system call that the waiter sleeps in
	SleepPath string   // documented path of that sleep, "" if the call has its own
	Through   []string // the owners of the wait queue entries on the way, outermost first, as calls.txt of the catalogue names them; none: no wait queue
	Context   string   // of the waking, "" for task
	Without   []string // branches of Source that cannot be taken
	Branches  []string // those of the documented paths that its wake takes, if they have several
	Worker    bool     // the wakee is a task of the kernel's own, whatever our waiter does
	Unwatched bool     // changes its wait queue more often than watchpoints can follow
	Paths     []string // further documented paths that the scenario takes

	need func() error   // nil, or why this machine cannot show it
	run  func(*T) error // on the calling goroutine
}

// Result holds the results of a scenario.
type Result struct {
	PID            int
	Waiter, Waker  int    // thread ids; Waker also makes the set-up's calls
	Began, Ended   int64  // of all that wakes, CLOCK_MONOTONIC nanoseconds; the waiter slept at Began
	Wakes          []Wake // the first is the one that the scenario is about
	StillAsleep    []SleepingThread
	Calls          []Line
	Object         string         // the object that was waited for: "eventfd 5 (id 12)"
	FDs            map[int]string // open descriptors, with their objects
	WaiterSyscalls []int          // numbers under which the waiter may sleep

	// Watch, which ready may set, has an eventfd made by make and watched from
	// then on. It is called on the thread that makes it.
	Watch func(make func() (fd int, err error)) error

	// Joined, which ready may set, is called with a further thread before that
	// makes a call.
	Joined func(tid int)
}

// WaiterCall is the system call that the waiter slept in: a library has the
// choice among those of epoll.
func (r *Result) WaiterCall(stated string) string {
	for _, c := range slices.Backward(r.Calls) {
		name, _, _ := strings.Cut(c.Text, "(")
		if c.TID == r.Waiter && !c.After && strings.HasPrefix(name, "epoll_") && strings.HasPrefix(stated, "epoll_") && strings.Contains(name, "wait") {
			return name
		}
	}
	return stated
}

// Line is one system call as strace prints it.
type Line struct {
	TID   int
	Began int64 // CLOCK_MONOTONIC nanoseconds, as are the kernel's events; 0 of a recording's
	Ended int64
	Text  string
	Call  *efd.Call // nil if the call was not made through the library
	Acts  bool      // the action that woke the waiter
	After bool      // made when all was over: closing
}

// ErrSkip is wrapped by the error of a scenario that cannot run here.
var ErrSkip = errors.New("not possible here")

// Skip makes an error that names the missing requirement.
func Skip(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrSkip, fmt.Sprintf(format, a...))
}

// limit bounds one scenario on an idle machine; asleep.Patience stretches it.
const limit = 20 * time.Second

// Run runs a scenario once. ready is called when its threads exist and before
// they make a call; an error of it ends the scenario. The result is
// never nil.
func (s *Scenario) Run(ctx context.Context, ready func(*Result) error) (*Result, error) {
	t := &T{scenario: s, res: &Result{PID: unix.Getpid(), FDs: map[int]string{}}}
	if s.need != nil {
		if err := s.need(); err != nil {
			return t.res, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, asleep.Patience(limit))
	defer cancel()
	t.ctx, t.called = ctx, ctx
	t.waiter, t.waker = newThread(), newThread()
	t.res.Waiter, t.res.Waker = t.waiter.tid, t.waker.tid
	remove := efd.AddTracer(t.traced)
	defer func() {
		t.cleanUp()
		remove()
		t.waker.end()
		t.waiter.end()
	}()
	if ready != nil {
		if err := ready(t.res); err != nil {
			return t.res, err
		}
	}
	err := s.run(t)
	t.cleanUp()
	slices.SortStableFunc(t.res.Calls, func(a, b Line) int { return cmp.Compare(a.Began, b.Began) })
	return t.res, err
}

// T is a running scenario.
type T struct {
	ctx           context.Context
	scenario      *Scenario
	res           *Result
	waiter, waker *thread
	waiting       <-chan error
	called        context.Context // ends with ctx, and when the waiter's call returns
	wake          Wake            // that is being brought about
	closed        map[int]bool    // descriptors to close at the end, and whether that is done

	mu       sync.Mutex
	more     []int // further threads that make calls
	acting   bool
	over     bool
	cleanups []func()
}

func (t *T) traced(c *efd.Call) {
	t.mu.Lock()
	ours := c.TID == t.waiter.tid || c.TID == t.waker.tid || slices.Contains(t.more, c.TID)
	t.mu.Unlock()
	if !ours {
		return
	}
	began := monotonic() - int64(time.Since(c.Start))
	t.line(Line{TID: c.TID, Began: began, Ended: began + int64(c.Duration), Text: c.String(), Call: c})
}

func (t *T) line(l Line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.Acts, l.After = t.acting && l.TID == t.res.Waker, t.over
	t.res.Calls = append(t.res.Calls, l)
}

// Cleanup runs fn on the waker's thread when the scenario ends, last first.
func (t *T) Cleanup(fn func()) { t.cleanups = append(t.cleanups, fn) }

// cleanupLimit is how long one clean-up may take.
const cleanupLimit = 10 * time.Second

func (t *T) cleanUp() {
	t.mu.Lock()
	t.over = true
	t.mu.Unlock()
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		select {
		case <-t.waker.start(func() error { t.cleanups[i](); return nil }):
		case <-time.After(cleanupLimit):
			t.replaceWaker()
		}
	}
	t.cleanups = nil
}

// Do makes calls on the waker's thread: the set-up. A call that does not return
// before the scenario's time is over keeps the thread, and another takes its
// place.
func (t *T) Do(fn func() error) error {
	done := t.waker.start(fn)
	select {
	case err := <-done:
		return err
	case <-t.ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(lateLimit):
	}
	t.replaceWaker()
	return fmt.Errorf("a call of the waker's thread has not returned: %w", context.Cause(t.ctx))
}

// lateLimit is how long a call may go on after the scenario's time is over.
const lateLimit = time.Second

func (t *T) replaceWaker() {
	other := newThread()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waker.end()
	t.waker = other
}

// Wait makes the waiter's thread make the call, and returns once that thread
// sleeps in one of the system calls.
func (t *T) Wait(call func() error, nr ...int) error {
	t.res.WaiterSyscalls = nr
	ctx, returned := asleep.UntilReturn(t.ctx)
	t.called = ctx
	t.waiting = t.waiter.start(func() error {
		err := call()
		returned(err)
		return err
	})
	return t.Asleep()
}

// Asleep returns once the waiter sleeps in its call.
func (t *T) Asleep() error {
	return asleep.Await(t.called, t.res.PID, t.res.Waiter, t.res.WaiterSyscalls...)
}

// Act runs wake on the waker's thread, and waits for the waiter's call to
// return.
func (t *T) Act(wake func() error) error { return t.ActAs(t.scenario.Own(), wake) }

// ActAs is Act if the wake is another than the scenario's own.
func (t *T) ActAs(own Wake, wake func() error) error {
	err := t.Do(func() error {
		t.act(true)
		defer t.act(false)
		t.begin(own)
		return wake()
	})
	if err != nil {
		return err
	}
	if err := t.Join(); err != nil {
		return err
	}
	t.end()
	return nil
}

func (t *T) act(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.acting = on
}

// Join waits for the waiter's call to return.
func (t *T) Join() error {
	select {
	case err := <-t.waiting:
		return err
	case <-t.ctx.Done():
		return fmt.Errorf("the waiter was not woken: %w", t.ctx.Err())
	}
}

// Sys makes a raw system call on the current thread and notes it as strace
// would print it: format and a are the call up to its closing bracket.
func (t *T) Sys(fn func() (int, error), format string, a ...any) (int, error) {
	began := monotonic()
	tid := unix.Gettid()
	n, err := fn()
	ended := monotonic()
	text := fmt.Sprintf(format, a...)
	if err != nil {
		var no unix.Errno
		if errors.As(err, &no) {
			text += fmt.Sprintf(" = -1 %s (%s)", unix.ErrnoName(no), strings.ToUpper(no.Error()[:1])+no.Error()[1:])
		}
	} else {
		text += fmt.Sprintf(" = %d", n)
	}
	t.line(Line{TID: tid, Began: began, Ended: ended, Text: text})
	return n, err
}

// FD records the object of a descriptor.
func (t *T) FD(fd int, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.res.FDs[fd] = what
}

// EventFD makes the eventfd that is waited on.
func (t *T) EventFD(initval uint32, flags efd.Flag) (*efd.EventFD, error) {
	var e *efd.EventFD
	err := t.Do(func() error {
		var err error
		make := func() (int, error) {
			if e, err = efd.New(initval, flags); err != nil {
				return -1, err
			}
			return e.FD(), nil
		}
		if t.res.Watch != nil {
			return t.res.Watch(make)
		}
		_, err = make()
		return err
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { e.Close() })
	t.object(e)
	return e, nil
}

// object notes the eventfd that is waited on.
func (t *T) object(e *efd.EventFD) {
	t.res.Object = fmt.Sprintf("eventfd %d", e.FD())
	if info, err := e.Info(); err == nil && info.ID >= 0 {
		t.res.Object += fmt.Sprintf(" (id %d)", info.ID)
	}
	t.FD(e.FD(), t.res.Object)
}

func monotonic() int64 { return int64(clock.Monotonic()) }

// Untaken are the documented paths that no scenario takes, and why.
var Untaken = map[string]string{
	"vfio": "it takes a device that is bound to vfio-pci and that raises an interrupt: /dev/vfio/GROUP, behind an IOMMU, and VFIO_DEVICE_SET_IRQS with an eventfd",
}

// All is every scenario, in the order of the systems.
func All() []*Scenario { return all }

// Find looks scenarios up by name. No name: those of demo if demo is true,
// else all.
func Find(demo bool, names ...string) ([]*Scenario, error) {
	var out []*Scenario
	for _, s := range all {
		if len(names) == 0 && (s.Demo || !demo) {
			out = append(out, s)
		}
	}
	for _, n := range names {
		i := slices.IndexFunc(all, func(s *Scenario) bool { return s.Name == n })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q; there are: %s", n, strings.Join(Names(), " "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// Names lists all scenarios.
func Names() []string {
	var out []string
	for _, s := range all {
		out = append(out, s.Name)
	}
	return out
}

var all = slices.Concat(waits, eventfds, aios, ioUrings, selects, polls, epolls, epollCtls, timeouts, signals, restarts, ptys, tcps,
	unixSockets, udps, pipes, timerfds, signalfds, inotifies, pidfds, memcgs, wakeups, devices)
