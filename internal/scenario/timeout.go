//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/asleep"
)

// Waits that end because their time is up. No wait queue takes part.
var timeouts = []*Scenario{
	{
		Name: "timeout_ppoll", System: 13, Title: "ppoll on an eventfd that nobody writes to ends when its time is up",
		Source: "timeout", Waiter: "ppoll", Context: "hardirq", Paths: []string{"ppoll"},
		run: runTimeoutPpoll,
	},
	{
		Name: "timeout_pselect6", System: 13, Title: "pselect6 on an eventfd that nobody writes to ends when its time is up",
		Source: "timeout", Waiter: "pselect6", Context: "hardirq", Paths: []string{"pselect6"},
		run: runTimeoutPselect6,
	},
	{
		Name: "timeout_epoll", System: 13, Title: "epoll_wait on an eventfd that nobody writes to ends when its time is up",
		Source: "timeout", Waiter: "epoll_pwait", Context: "hardirq", Paths: []string{"epoll_wait"},
		run: func(t *T) error { return t.timeoutEpoll(20 * time.Millisecond) },
	},
	{
		Name: "timeout_epoll_nsec", System: 13, Title: "a time-out that is no whole number of milliseconds takes epoll_pwait2, where the kernel has it",
		Source: "timeout", Waiter: "epoll_pwait2", Context: "hardirq", Paths: []string{"epoll_wait"},
		run: func(t *T) error { return t.timeoutEpoll(20*time.Millisecond + time.Microsecond) },
	},
}

func runTimeoutPpoll(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	return t.timesOut(20*time.Millisecond, func(d time.Duration) (int, error) {
		return efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, d, nil)
	}, ppollCalls...)
}

func runTimeoutPselect6(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	return t.timesOut(20*time.Millisecond, func(d time.Duration) (int, error) {
		r, err := setOf(e.FD())
		if err != nil {
			return 0, err
		}
		return efd.Select(r, nil, nil, d, nil)
	}, pselect6Calls...)
}

func (t *T) timeoutEpoll(d time.Duration) error {
	_, p, err := t.EventFDInEpoll()
	if err != nil {
		return err
	}
	return t.timesOut(d, func(d time.Duration) (int, error) {
		var evs [1]efd.EpollEvent
		return p.Wait(evs[:], d, nil)
	}, epollCalls...)
}

// timesOut makes the waiter's call with a timeout, a longer one if it ended
// before the thread was seen asleep: the aim is that state, and a timeout alone
// cannot guarantee it.
func (t *T) timesOut(d time.Duration, call func(time.Duration) (int, error), nr ...int) error {
	if err := t.shareCPU(); err != nil {
		return err
	}
	t.res.WaiterSyscalls = nr
	for ; ; d *= 2 {
		t.waiting = t.waiter.start(func() error {
			start := time.Now()
			n, err := call(d)
			took := time.Since(start)
			return expect(err, n == 0 && took >= d, "the wait gave %d after %v, want 0 after %v", n, took, d)
		})
		slept := false
		err := t.Do(func() error {
			var err error
			if slept, err = t.asleepOrDone(); err != nil || !slept {
				return err
			}
			return t.spin()
		})
		if err == nil {
			err = t.Join()
		}
		if err != nil {
			return err
		}
		if slept {
			t.end()
			return nil
		}
	}
}

// shareCPU puts both threads on one CPU, where the waiter's timer then is.
func (t *T) shareCPU() error {
	cpus, err := allowedCPUs(1)
	if err != nil {
		return err
	}
	pin := func() error { return t.pin(cpus[0]) }
	return errors.Join(t.Do(pin), t.waiter.do(pin))
}

// asleepOrDone returns once the waiter sleeps, or with false once its call
// has returned.
func (t *T) asleepOrDone() (bool, error) {
	for len(t.waiting) == 0 {
		slept, err := t.isAsleep()
		if slept {
			t.begin(t.scenario.Own())
			slept, err = t.isAsleep() // still, and so it slept when it began
		}
		if slept || err != nil {
			return slept, err
		}
		if t.ctx.Err() != nil {
			return false, fmt.Errorf("the waiter neither slept nor returned: %w", t.ctx.Err())
		}
		pause()
	}
	return false, nil
}

// spin keeps the current thread's CPU busy until the waiter's call has
// returned: some kernels hide the work of an interrupt on an idle CPU. It makes
// no system call, each of which would be one more record for an observer, but
// yields some times a second: with GOMAXPROCS=1 the waiter and all of Go's
// timers need its processor, and the runtime alone may be late to take it away.
func (t *T) spin() error {
	const rounds = 1 << 20 // about 10 ms
	for n := 1; len(t.waiting) == 0; n++ {
		if t.ctx.Err() != nil {
			return fmt.Errorf("no timer woke the waiter: %w", t.ctx.Err())
		}
		if n%rounds == 0 {
			runtime.Gosched()
		}
	}
	return nil
}

func (t *T) isAsleep() (bool, error) {
	s, err := asleep.Of(t.res.PID, t.res.Waiter)
	return err == nil && s.In(t.res.WaiterSyscalls...), err
}
