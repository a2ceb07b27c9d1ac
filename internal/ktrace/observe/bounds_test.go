//go:build linux

package observe

import (
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// TestThreadsThatNeverRun: they take neither memory nor time for ever, and each
// wake is delivered once.
func TestThreadsThatNeverRun(t *testing.T) {
	tr := NewTracker()
	wakes := 0
	tr.OnWake = func(*Wake) { wakes++ }
	const n = 3 * maxThreads
	for i := range n {
		tr.Event(&ktrace.Event{Kind: ktrace.Waking, Time: int64(i + 1), PID: 5, TID: 6, Target: i + 10})
		if len(tr.threads) > maxThreads {
			t.Fatalf("%d threads after %d wakes", len(tr.threads), i)
		}
	}
	if tr.Flush(); wakes != n {
		t.Errorf("%d wakes, want %d", wakes, n)
	}
}

// TestSleepsAreBounded: calls keep few sleeps once all together keep many.
func TestSleepsAreBounded(t *testing.T) {
	tr := NewTracker()
	kept := 0
	tr.OnCall = func(c *Call) { kept += len(c.Sleeps) }
	const threads = 4000
	for round := range 40 {
		for i := range threads {
			at := int64(round*threads+i)*10 + 1
			if round == 0 {
				tr.Event(&ktrace.Event{Kind: ktrace.SysEnter, Time: at, PID: 5, TID: i + 10, Nr: 7})
			}
			tr.Event(&ktrace.Event{Kind: ktrace.Switch, Time: at + 1, PID: 5, TID: i + 10, State: 1})
		}
	}
	if tr.Flush(); kept > maxSleeps+2*threads || kept < threads {
		t.Errorf("%d sleeps are kept of %d threads, want at most %d", kept, threads, maxSleeps+2*threads)
	}
}

// TestSleepWithoutSwitch: a sleep whose switch-in was lost ends with what its
// thread does next.
func TestSleepWithoutSwitch(t *testing.T) {
	tr := NewTracker()
	var sleeps []Sleep
	tr.OnCall = func(c *Call) {
		for _, s := range c.Sleeps {
			sleeps = append(sleeps, Sleep{From: s.From, To: s.To})
		}
	}
	tr.Event(&ktrace.Event{Kind: ktrace.SysEnter, Time: 1, PID: 5, TID: 6, Nr: 7})
	tr.Event(&ktrace.Event{Kind: ktrace.Switch, Time: 2, PID: 5, TID: 6, State: 1})
	tr.Event(&ktrace.Event{Kind: ktrace.SysExit, Time: 9, PID: 5, TID: 6, Nr: 7})
	if len(sleeps) != 1 || sleeps[0].From != 2 || sleeps[0].To != 9 {
		t.Errorf("%+v, want one from 2 to 9", sleeps)
	}
}
