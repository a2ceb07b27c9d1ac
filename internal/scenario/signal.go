//go:build linux

package scenario

import (
	"errors"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// Signals that end a wait, or that only interrupt it.
var signals = []*Scenario{
	{
		Name: "signal_ppoll", System: 14, Title: "a signal that ppoll's mask lets in ends the wait in EINTR",
		Source: "signal", Branches: []string{"thread"}, Waiter: "ppoll", Paths: []string{"ppoll"},
		run: runSignalPpoll,
	},
	{
		Name: "signal_pselect6", System: 14, Title: "a signal that pselect6's mask lets in ends the wait in EINTR",
		Source: "signal", Branches: []string{"thread"}, Waiter: "pselect6", Paths: []string{"pselect6"},
		run: runSignalPselect6,
	},
	{
		Name: "signal_epoll", System: 14, Title: "a signal that epoll_pwait's mask lets in ends the wait in EINTR",
		Source: "signal", Branches: []string{"thread"}, Waiter: "epoll_pwait", Paths: []string{"epoll_wait"},
		run: runSignalEpoll,
	},
	{
		Name: "signal_read", System: 14, Title: "a signal interrupts a read of an eventfd, which the kernel starts again",
		Source: "signal", Branches: []string{"thread"}, Waiter: "read", SleepPath: "eventfd_read", Paths: []string{"eventfd_read"},
		run: runSignalRead,
	},
}

// harmless is a signal that Go's runtime has a handler for and drops unless
// the program asks for it.
const harmless = unix.SIGWINCH

// signal sends sig to the waiter's thread.
func (t *T) signal(sig unix.Signal) error {
	return t.sys(func() error { return unix.Tgkill(t.res.PID, t.res.Waiter, sig) },
		"tgkill(%d, %d, %s)", t.res.PID, t.res.Waiter, unix.SignalName(sig))
}

// signalUnnoticed sends a signal that the waiter's mask blocks.
func (t *T) signalUnnoticed(sig unix.Signal) error {
	return t.Unnoticed(func() error { return t.signal(sig) })
}

// signalEnds: the waiter has the signal blocked but for the time of its call.
func (t *T) signalEnds(call func(*efd.SigSet) error, nr ...int) error {
	blocked, err := efd.NewSigSet(harmless)
	if err != nil {
		return err
	}
	err = t.Wait(func() error {
		err := efd.WithSigMask(blocked, func() error { return call(&efd.SigSet{}) })
		var intr *efd.InterruptedError
		if !errors.As(err, &intr) {
			return expect(err, false, "the wait was not interrupted")
		}
		return expect(nil, errors.Is(err, unix.EINTR) && intr.Remaining == efd.Forever, "the wait ended in %v with %v left", err, intr.Remaining)
	}, nr...)
	if err != nil {
		return err
	}
	return t.Act(func() error { return t.signal(harmless) })
}

func runSignalPpoll(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	return t.signalEnds(func(mask *efd.SigSet) error {
		_, err := efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, efd.Forever, mask)
		return err
	}, ppollCalls...)
}

func runSignalPselect6(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	r, err := setOf(e.FD())
	if err != nil {
		return err
	}
	return t.signalEnds(func(mask *efd.SigSet) error {
		_, err := efd.Select(r, nil, nil, efd.Forever, mask)
		return err
	}, pselect6Calls...)
}

func runSignalEpoll(t *T) error {
	_, p, err := t.EventFDInEpoll()
	if err != nil {
		return err
	}
	return t.signalEnds(func(mask *efd.SigSet) error {
		var evs [1]efd.EpollEvent
		_, err := p.Wait(evs[:], efd.Forever, mask)
		return err
	}, epollCalls...)
}

// runSignalRead relies on SA_RESTART, with which Go installs its handlers. The
// process may have been started with the signal blocked.
func runSignalRead(t *T) error {
	e, err := t.EventFD(0, efd.Blocking)
	if err != nil {
		return err
	}
	err = t.Wait(func() error { return efd.WithSigMask(efd.SigSet{}, readExpect(e, 1)) }, unix.SYS_READ)
	if err != nil {
		return err
	}
	err = t.Do(func() error {
		return t.SpuriousWake(t.scenario.Own(), func() error { return t.signal(harmless) }, unix.SYS_READ)
	})
	if err != nil {
		return err
	}
	written := Wake{Source: "eventfd_write", Call: "read", SleepPath: "eventfd_read", Through: []string{"sleeper"}}
	return t.ActAs(written, func() error { return e.Write(1) })
}
