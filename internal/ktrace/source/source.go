//go:build linux

// Package source is the interface to all mechanisms that observe the kernel:
// tracepoints (perf), watchpoints (watch) or the function tracer (ftrace).
package source

import (
	"math"
	"runtime"
	"slices"
	"sort"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// Source is a running observation. Its methods are for one goroutine.
type Source interface {
	// Read appends to buf the events up to the time until, in the order of
	// their times, and keeps younger ones for later. It never waits. A source
	// that implements Backlogged may stop earlier, but never if until is End.
	Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error)
	// Losses returns the losses since the last call.
	Losses() []ktrace.Loss
	// Stop ends the observation. Earlier events can still be read.
	Stop() error
	// Close releases everything. It stops first.
	Close() error
}

// Horizon is how long an event may take from its time stamp to where a reader
// finds it. Events younger than that are not yet in their final order.
const Horizon = 20 * time.Millisecond

// End is an until that leaves no event unread.
const End = math.MaxInt64

// Merged is several sources read as one.
type Merged struct {
	of        []Source
	held      []ktrace.Event // that other sources may still have something before
	watermark int64
}

// Merge joins sources. Closing the result closes them all.
func Merge(of ...Source) *Merged { return &Merged{of: of} }

// Read implements Source.
func (m *Merged) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	if len(m.of) == 1 {
		return m.readOnly(m.of[0], until, buf)
	}
	m.watermark = until
	for _, s := range m.of {
		var err error
		if m.held, err = s.Read(until, m.held); err != nil {
			return buf, err
		}
		if b, ok := s.(Backlogged); ok && b.Backlogged() {
			m.watermark = min(m.watermark, b.Watermark())
		}
	}
	m.held, buf = Cut(m.held, m.watermark, buf)
	return buf, nil
}

// byTime orders events by their times. It has methods for package sort, since
// a sort of package slices would be compiled anew for events.
type byTime []ktrace.Event

func (e byTime) Len() int           { return len(e) }
func (e byTime) Less(i, j int) bool { return e[i].Time < e[j].Time }
func (e byTime) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Cut puts events into the order of their times, and moves those up to the
// time until to the end of buf.
func Cut(events []ktrace.Event, until int64, buf []ktrace.Event) (left, cut []ktrace.Event) {
	sort.Stable(byTime(events))
	n := sort.Search(len(events), func(i int) bool { return events[i].Time > until })
	buf = append(buf, events[:n]...)
	return slices.Delete(events, 0, n), buf
}

// readOnly reads the only source: there is nothing to put into order.
func (m *Merged) readOnly(s Source, until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	buf, err := s.Read(until, buf)
	m.watermark = until
	if b, ok := s.(Backlogged); ok && b.Backlogged() {
		m.watermark = min(m.watermark, b.Watermark())
	}
	return buf, err
}

// Losses implements Source.
func (m *Merged) Losses() []ktrace.Loss {
	var all []ktrace.Loss
	for _, s := range m.of {
		all = append(all, s.Losses()...)
	}
	return all
}

// Stop implements Source.
func (m *Merged) Stop() error { return m.each(Source.Stop) }

// Close implements Source.
func (m *Merged) Close() error { return m.each(Source.Close) }

func (m *Merged) each(f func(Source) error) error {
	var first error
	for _, s := range m.of {
		if err := f(s); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Accountant is implemented by sources that learn of losses late.
type Accountant interface {
	// Account has Losses say all that was lost by now.
	Account() error
}

// Account implements Accountant.
func (m *Merged) Account() error {
	return m.each(func(s Source) error {
		if a, ok := s.(Accountant); ok {
			return a.Account()
		}
		return nil
	})
}

// Backlogged is implemented by sources that read bounded batches.
type Backlogged interface {
	// Backlogged reports whether the last Read left events for the next, which
	// should follow immediately.
	Backlogged() bool
	// Watermark is the time up to which everything has been passed on.
	Watermark() int64
}

func backlogged(s Source) bool {
	b, ok := s.(Backlogged)
	return ok && b.Backlogged()
}

// Backlogged implements the interface Backlogged.
func (m *Merged) Backlogged() bool { return slices.ContainsFunc(m.of, backlogged) }

// Watermark implements Backlogged.
func (m *Merged) Watermark() int64 { return m.watermark }

// Run reads s every tick until done is closed, then stops it and reads the
// rest. Each batch of events and losses goes to fn, which may keep neither
// slice; a tick without events passes an empty one. Run ends early with the
// error of fn.
//
// It sleeps by the clock and never waits for the kernel to wake it: a reader
// that the observed events wake would be part of the picture. It occupies a
// thread, with the highest priority that it is given, since records that a
// reader does not read in time are lost.
func Run(s Source, tick time.Duration, done <-chan struct{}, fn func([]ktrace.Event, []ktrace.Loss) error) error {
	defer urgent()()
	r := reading{s: s, fn: fn}
	for {
		select {
		case <-done:
			if err := s.Stop(); err != nil {
				return err
			}
			for more := true; more; more = backlogged(s) {
				if err := r.read(Now()); err != nil {
					return err
				}
			}
			return r.read(End)
		default:
		}
		if err := r.read(Now() - int64(Horizon)); err != nil {
			return err
		}
		if !backlogged(s) {
			ts := unix.NsecToTimespec(int64(tick))
			unix.Nanosleep(&ts, nil) // woken early by a signal: a reading more
		}
	}
}

// urgent holds the thread and raises its priority as far as it may. The result
// undoes that.
func urgent() (restore func()) {
	runtime.LockOSThread()
	const most = -20
	// The system call counts from 40 down to 1.
	old, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	raised := err == nil && unix.Setpriority(unix.PRIO_PROCESS, 0, most) == nil
	return func() {
		if raised {
			unix.Setpriority(unix.PRIO_PROCESS, 0, 20-old)
		}
		runtime.UnlockOSThread()
	}
}

type reading struct {
	s   Source
	fn  func([]ktrace.Event, []ktrace.Loss) error
	buf []ktrace.Event
}

func (r *reading) read(until int64) error {
	var err error
	if r.buf, err = r.s.Read(until, r.buf[:0]); err != nil {
		return err
	}
	err = r.fn(r.buf, r.s.Losses())
	clear(r.buf)
	return err
}
