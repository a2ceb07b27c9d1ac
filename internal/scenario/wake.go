//go:build linux

package scenario

import (
	"fmt"

	"github.com/efd-go/efd/internal/asleep"
)

// Wake is one wake that a scenario brings about, as the scenario states it.
type Wake struct {
	Waiter int   `json:"waiter"`          // thread id
	Waker  int   `json:"waker,omitempty"` // thread id, 0: any
	Began  int64 `json:"began"`           // of the act, CLOCK_MONOTONIC nanoseconds; the waiter slept then
	Ended  int64 `json:"ended"`

	Source    string   `json:"source"`              // documented path of the wake source
	Call      string   `json:"call,omitempty"`      // system call that the waiter sleeps in
	SleepPath string   `json:"sleep,omitempty"`     // documented path of that sleep, "" if the call has its own
	Through   []string `json:"callbacks,omitempty"` // as in Scenario; recordings of before have the functions of the entries
	Context   string   `json:"context,omitempty"`   // as in Scenario
	Worker    bool     `json:"worker,omitempty"`    // as in Scenario
	Without   []string `json:"without,omitempty"`   // branches of Source that it cannot take
}

// SleepingThread is a thread that an act leaves asleep. The scenario itself has looked
// that it is so: the thread slept in its call before and after, and had given
// up the CPU as often.
type SleepingThread struct {
	TID      int    `json:"tid"`
	Call     string `json:"call"`
	From     int64  `json:"from"` // CLOCK_MONOTONIC nanoseconds
	To       int64  `json:"to"`
	Switches int    `json:"switches"` // how often the thread had given up the CPU, before and after
}

// Own is the scenario's own wake, without threads and times.
func (s *Scenario) Own() Wake {
	return Wake{Source: s.Source, Call: s.Waiter, SleepPath: s.SleepPath, Through: s.Through, Context: s.Context, Worker: s.Worker, Without: s.Without}
}

// begin marks the start of the action that wakes the waiter.
func (t *T) begin(own Wake) {
	t.wake = own
	if t.wake.Waiter == 0 {
		t.wake.Waiter = t.res.Waiter
	}
	t.wake.Waker, t.wake.Began = t.res.Waker, monotonic()
}

// end: it was woken.
func (t *T) end() {
	t.wake.Ended = monotonic()
	t.state(t.wake)
}

// state adds a wake to those that the scenario stands for.
func (t *T) state(w Wake) {
	if len(t.res.Wakes) == 0 {
		t.res.Began = w.Began
	}
	t.res.Ended = max(t.res.Ended, w.Ended)
	t.res.Wakes = append(t.res.Wakes, w)
}

// SpuriousWake runs wake on the current thread: it wakes the waiter and does
// not end its call, which sleeps in one of the system calls again. own is the
// statement of that wake.
func (t *T) SpuriousWake(own Wake, wake func() error, nr ...int) error {
	t.act(true)
	defer t.act(false)
	t.begin(own)
	if err := t.AsleepAgain(t.res.PID, t.res.Waiter, wake, nr...); err != nil {
		return err
	}
	t.end()
	return nil
}

// waiter is a further thread that waits.
type waiter struct {
	t     *T
	tid   int
	woken <-chan error
}

// Second makes a further thread make the call, and returns once it sleeps in
// one of the system calls.
func (t *T) Second(call func() error, nr ...int) (*waiter, error) {
	th := newThread()
	t.mu.Lock()
	t.more = append(t.more, th.tid)
	t.mu.Unlock()
	t.joined(th.tid)
	ctx, returned := asleep.UntilReturn(t.ctx)
	w := &waiter{t, th.tid, th.start(func() error {
		err := call()
		returned(err)
		return err
	})}
	th.end() // when the call has returned
	return w, asleep.Await(ctx, t.res.PID, w.tid, nr...)
}

// joined reports a further thread to the observer.
func (t *T) joined(tid int) {
	if t.res.Joined != nil {
		t.res.Joined(tid)
	}
}

// join waits for the call to return.
func (w *waiter) join() error {
	select {
	case err := <-w.woken:
		return err
	case <-w.t.ctx.Done():
		return fmt.Errorf("the second waiter was not woken: %w", w.t.ctx.Err())
	}
}

// wokenToo states that this waiter was woken by the first waiter's wake, in the
// same way or by a consequence of it.
func (w *waiter) wokenToo(also Wake) error {
	if err := w.join(); err != nil {
		return err
	}
	also.Waiter, also.Ended = w.tid, monotonic()
	w.t.state(also)
	return nil
}

// wokenBy runs wake, which wakes this waiter alone, on the waker's thread.
func (w *waiter) wokenBy(wake func() error) error {
	t := w.t
	err := t.Do(func() error {
		own := t.scenario.Own()
		own.Waiter = w.tid
		t.begin(own)
		return wake()
	})
	if err != nil {
		return err
	}
	if err := w.join(); err != nil {
		return err
	}
	t.end()
	return nil
}

// rests runs act, and requires that this waiter stays asleep in one of the
// system calls.
func (w *waiter) rests(act func() error, nr ...int) error {
	t := w.t
	before, err := asleep.Switches(t.res.PID, w.tid)
	if err != nil {
		return err
	}
	r := SleepingThread{TID: w.tid, Call: t.scenario.Waiter, From: monotonic(), Switches: before}
	if err := act(); err != nil {
		return err
	}
	if err := asleep.Await(t.ctx, t.res.PID, w.tid, nr...); err != nil {
		return fmt.Errorf("the second waiter: %w", err)
	}
	after, err := asleep.Switches(t.res.PID, w.tid)
	if err = expect(err, after == before, "the second waiter was woken %d times, and must not be", after-before); err != nil {
		return err
	}
	r.To = monotonic()
	t.res.StillAsleep = append(t.res.StillAsleep, r)
	return nil
}
