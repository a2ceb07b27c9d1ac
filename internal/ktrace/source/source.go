// Package source is the one interface behind which the kernel is observed,
// whatever mechanism does it: tracepoints (perf), watchpoints (watch) or the
// function tracer (ftrace).
package source

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// Source is a running observation. Its methods are for one goroutine.
type Source interface {
	// Read appends to buf the events that happened up to the time until, in the
	// order of their times, and keeps younger ones for later. It never waits.
	Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error)
	// Losses returns what was lost since it was last called.
	Losses() []ktrace.Loss
	// Stop ends the observation. What was seen until then can still be read.
	Stop() error
	// Close releases everything. It stops first.
	Close() error
}

// Horizon is how long an event may take from its time stamp to where a reader
// finds it. Events younger than that are not yet in their final order.
const Horizon = 20 * time.Millisecond

// End is an until that leaves nothing behind.
const End = math.MaxInt64

// Now is the clock of all events, CLOCK_MONOTONIC in nanoseconds.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("clock_gettime(CLOCK_MONOTONIC): " + err.Error())
	}
	return ts.Nano()
}

// Merged is several sources read as one.
type Merged struct{ of []Source }

// Merge joins sources. Closing the result closes them all.
func Merge(of ...Source) *Merged { return &Merged{of} }

// Read implements Source.
func (m *Merged) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	start := len(buf)
	for _, s := range m.of {
		var err error
		if buf, err = s.Read(until, buf); err != nil {
			return buf, err
		}
	}
	if len(m.of) > 1 {
		slices.SortStableFunc(buf[start:], func(a, b ktrace.Event) int { return cmp.Compare(a.Time, b.Time) })
	}
	return buf, nil
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

// Run reads s every tick until done is closed, then stops it and reads the
// rest. Each batch of events and what was lost beside them goes to fn, which
// may keep neither slice; Run ends early with the error of fn. It reads by the
// clock and never waits for the kernel to wake it: a reader that was woken by
// what it observes would be part of the picture. A batch that came close to
// filling its buffers makes the next reading follow at once.
func Run(s Source, tick time.Duration, done <-chan struct{}, fn func([]ktrace.Event, []ktrace.Loss) error) error {
	var buf []ktrace.Event
	read := func(until int64) (int, error) {
		var err error
		if buf, err = s.Read(until, buf[:0]); err != nil {
			return 0, err
		}
		n := len(buf)
		losses := s.Losses()
		if n == 0 && len(losses) == 0 {
			return 0, nil
		}
		err = fn(buf, losses)
		clear(buf)
		if cap(buf) > 1<<15 {
			buf = nil
		}
		return n, err
	}
	timer := time.NewTimer(tick)
	defer timer.Stop()
	wait := tick
	for {
		timer.Reset(wait)
		select {
		case <-timer.C:
			n, err := read(Now() - int64(Horizon))
			if err != nil {
				return err
			}
			wait = tick
			if n > 4096 {
				wait = tick / 8
			}
		case <-done:
			if err := s.Stop(); err != nil {
				return err
			}
			_, err := read(End)
			return err
		}
	}
}
