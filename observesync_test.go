//go:build linux

package efd_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// monotonic is now, as [efd.Wake.Time] has it.
func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// upTo counts the wakes up to a time.
func upTo(times []time.Duration, at time.Duration) (n int) {
	for _, t := range times {
		if t <= at {
			n++
		}
	}
	return n
}

// A wake of before Sync has been delivered when it returns, and is not delivered
// later; each function for it has returned.
func TestObserveSync(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []efd.ObserveOption
	}{{"all", nil}, {"wakes only", []efd.ObserveOption{efd.WakesOnly()}}} {
		t.Run(c.name, func(t *testing.T) {
			var mu sync.Mutex
			var times []time.Duration // of wakes, as they are delivered
			o := startObserve(t, append(c.opts, efd.OnWake(func(w efd.Wake) {
				mu.Lock()
				times = append(times, w.Time)
				mu.Unlock()
			}))...)
			a, b := observedFD(t), observedFD(t)
			var at [20]time.Duration
			var delivered [len(at)]int
			for i := range at {
				pingPong(t, 5, a, b)
				at[i] = monotonic(t)
				if err := o.Sync(); err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				delivered[i] = upTo(times, at[i])
				mu.Unlock()
			}
			r, err := o.Stop()
			if err != nil {
				t.Fatal(err)
			}
			for i := range at {
				if all := upTo(times, at[i]); delivered[i] != all {
					t.Errorf("Sync %d: %d wakes were delivered, and %d had been made", i, delivered[i], all)
				}
			}
			if len(times) < len(at) && r.Lost == 0 {
				t.Errorf("%d wakes in %d rounds", len(times), len(at))
			}
			if err := o.Sync(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Sync after Stop = %v, want os.ErrClosed", err)
			}
			if o.Lost() != r.Lost {
				t.Errorf("Lost is %d after Stop, and the report has %d", o.Lost(), r.Lost)
			}
		})
	}
}

// While an OnWake function runs, Sync waits, what is not read
// meanwhile is lost, and Lost has it once Sync has returned.
func TestObserveSyncWaitsForOnWake(t *testing.T) {
	if testenv.Slow() {
		t.Skip("makes 200,000 records, and the processor is emulated")
	}
	var begun, returned atomic.Bool
	entered, release := make(chan struct{}), make(chan struct{})
	o := startObserve(t, efd.OnWake(func(efd.Wake) {
		if begun.CompareAndSwap(false, true) {
			close(entered)
			select {
			case <-release:
			case <-time.After(testenv.Limit()): // the test has failed by then
			}
			returned.Store(true)
		}
	}))
	a, b := observedFD(t), observedFD(t)
	pingPong(t, 5, a, b)
	testenv.Receive(t, entered, "a first wake")
	for range 100000 { // two records each, more than rings of 16 MB take
		if err := a.Write(0); err != nil {
			t.Fatal(err)
		}
	}
	synced := make(chan error, 1)
	go func() {
		err := o.Sync()
		if !returned.Load() {
			err = errors.Join(err, errors.New("Sync returned before the function did"))
		}
		synced <- err
	}()
	var err error
	select { // as long as is bearable: it would return at once
	case err = <-synced:
		close(release)
	case <-time.After(300 * time.Millisecond):
		close(release)
		err = testenv.Receive(t, synced, "Sync")
	}
	if err != nil {
		t.Error(err)
	}
	lost := o.Lost()
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if lost == 0 || lost > r.Lost {
		t.Errorf("%d lost after Sync, %d at the end", lost, r.Lost)
	}
}

// An OnWake function cannot wait for itself.
func TestObserveSyncOnWake(t *testing.T) {
	var made atomic.Pointer[efd.Observation]
	errs := make(chan error, 2)
	var once atomic.Bool
	o := startObserve(t, efd.OnWake(func(efd.Wake) {
		if o := made.Load(); o != nil && once.CompareAndSwap(false, true) {
			_, err := o.Stop()
			errs <- err
			errs <- o.Sync()
		}
	}))
	made.Store(o)
	pingPong(t, 5, observedFD(t), observedFD(t))
	for _, method := range []string{"Stop", "Sync"} {
		err := testenv.Receive(t, errs, method+" within OnWake")
		if err == nil || !strings.HasPrefix(err.Error(), "efd: Observation."+method+": called by an OnWake function") {
			t.Errorf("%s within OnWake = %v", method, err)
		}
	}
	if _, err := o.Stop(); err != nil {
		t.Error(err)
	}
}

func TestNilObservation(t *testing.T) {
	for _, o := range []*efd.Observation{nil, new(efd.Observation)} {
		_, err := o.Stop()
		if !errors.Is(err, os.ErrInvalid) || !errors.Is(o.Sync(), os.ErrInvalid) || o.Lost() != 0 || o.Changes() != 0 {
			t.Errorf("Stop = %v, Sync = %v", err, o.Sync())
		}
	}
}

// What a wake says of itself is what is known of it.
func TestObserveWakeString(t *testing.T) {
	knownCalls(t)
	o := startObserve(t)
	a, b := observedFD(t), observedFD(t)
	var ids []int
	for _, e := range []*efd.EventFD{a, b} {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, info.ID)
	}
	pingPong(t, 50, a, b)
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, w := range r.Wakes {
		if w.Callback != "pollwake" || w.Waker.Syscall != "write" || w.Incomplete {
			continue
		}
		ours++
		if !slices.Contains(ids, w.EventFD) {
			t.Errorf("the eventfds have the ids %v, and a wake %d: %v", ids, w.EventFD, w)
		}
		want := "'s write woke thread "
		if s := w.String(); !strings.HasPrefix(s, "thread ") || !strings.Contains(s, want) || !strings.Contains(s, " out of its ppoll on eventfd ") || !strings.Contains(s, "), through pollwake") {
			t.Errorf("%s", s)
		}
	}
	if ours == 0 && r.Lost == 0 {
		t.Errorf("no wake of ours among %d", r.Total)
	}
}
