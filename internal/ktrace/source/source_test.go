//go:build linux

package source

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// slow is a source that passes on a few events at a time.
type slow struct {
	events          []ktrace.Event
	most            int
	upTo            int64
	behind          bool
	stopped, closed bool
	lost            []ktrace.Loss
}

func (s *slow) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	n := 0
	for n < len(s.events) && s.events[n].Time <= until && (n < s.most || until == End) {
		n++
	}
	s.behind = n < len(s.events) && s.events[n].Time <= until
	s.upTo = until
	if s.behind {
		s.upTo = s.events[n].Time - 1
	}
	buf = append(buf, s.events[:n]...)
	s.events = s.events[n:]
	return buf, nil
}
func (s *slow) Losses() []ktrace.Loss { l := s.lost; s.lost = nil; return l }
func (s *slow) Stop() error           { s.stopped = true; return nil }
func (s *slow) Close() error          { s.closed = true; return nil }
func (s *slow) Backlogged() bool      { return s.behind }
func (s *slow) Watermark() int64      { return s.upTo }

func at(times ...int64) (e []ktrace.Event) {
	for _, t := range times {
		e = append(e, ktrace.Event{Time: t})
	}
	return e
}

func times(e []ktrace.Event) (t []int64) {
	for _, x := range e {
		t = append(t, x.Time)
	}
	return t
}

// A source that is behind holds the others back.
func TestMergeKeepsOrder(t *testing.T) {
	a, b := &slow{events: at(1, 4, 7, 10, 13), most: 2}, &slow{events: at(2, 3, 8, 9, 14), most: 100}
	m := Merge(a, b)
	var all []int64
	for range 4 {
		ev, err := m.Read(12, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, times(ev)...)
		if len(ev) > 0 && m.Backlogged() && ev[len(ev)-1].Time > m.Watermark() {
			t.Errorf("%v passed on, complete up to %d", times(ev), m.Watermark())
		}
	}
	if d := cmp.Diff([]int64{1, 2, 3, 4, 7, 8, 9, 10}, all); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	ev, _ := m.Read(End, nil)
	if d := cmp.Diff([]int64{13, 14}, times(ev)); d != "" {
		t.Errorf("rest (-want +got):\n%s", d)
	}
	if m.Close(); !a.closed || !b.closed {
		t.Error("not all are closed")
	}
}

func TestRun(t *testing.T) {
	now := Now()
	s := &slow{events: at(now-3, now-2, now-1, now, now+int64(time.Hour)), most: 1, lost: []ktrace.Loss{{Source: "x", Count: 1}}}
	done := make(chan struct{})
	var got []int64
	lost := 0
	var once sync.Once
	err := Run(s, time.Millisecond, done, func(e []ktrace.Event, l []ktrace.Loss) error {
		got = append(got, times(e)...)
		lost += len(l)
		if len(got) == 4 && len(e) == 0 {
			once.Do(func() { close(done) }) // nothing happened, and that is told too
		}
		return nil
	})
	if err != nil || len(got) != 5 || !slices.IsSorted(got) || lost != 1 || !s.stopped {
		t.Errorf("%d events, %d losses, stopped %v, %v", len(got), lost, s.stopped, err)
	}
	fail := errors.New("enough")
	if err := Run(&slow{events: at(1), most: 1}, time.Millisecond, make(chan struct{}), func([]ktrace.Event, []ktrace.Loss) error { return fail }); err != fail {
		t.Errorf("Run = %v, want the function's error", err)
	}
}

func TestRunRestoresPriority(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	close(done)
	before, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(&slow{}, time.Millisecond, done, func([]ktrace.Event, []ktrace.Loss) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if after, _ := unix.Getpriority(unix.PRIO_PROCESS, 0); after != before {
		t.Errorf("priority %d before, %d after", before, after)
	}
}
