//go:build linux

package scenario

import "github.com/efd-go/efd"

// The ways in which poll(2) and ppoll(2) differ.
var polls = []*Scenario{
	{
		Name: "poll", System: 10, Title: "a thread sleeps in poll(2) on an eventfd, another writes to it",
		Source: "eventfd_write", Waiter: "poll", Through: []string{"poller"}, Paths: []string{"eventfd2", "poll", "poll_wake"},
		need: needCall(nrPoll, "poll", "ppoll"),
		run:  runPoll,
	},
	{
		Name: "ppoll_many", System: 10, Title: "a thread sleeps in ppoll on 40 eventfds, more than the kernel keeps on its stack; the last one is written to",
		Source: "eventfd_write", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "ppoll", "poll_wake"},
		run: runPpollMany,
	},
	{
		Name: "ppoll_two", System: 11, Title: "two threads sleep in ppoll on one eventfd: one write wakes both",
		Source: "eventfd_write", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "ppoll", "poll_wake"},
		run: runPpollTwo,
	},
	{
		Name: "ppoll_mask", System: 10, Title: "a signal that ppoll's mask blocks does not end the sleep; a write does",
		Source: "eventfd_write", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "ppoll", "poll_wake"},
		run: runPpollMask,
	},
	{
		Name: "poll_on_epoll", System: 12, Title: "a thread sleeps in ppoll on an epoll that watches an eventfd, another writes to the eventfd",
		Source: "eventfd_write", Waiter: "ppoll", Through: []string{"epoll", "poller"}, Paths: []string{"eventfd2", "epoll_nested", "ppoll", "poll_wake"},
		run: runPollOnEpoll,
	},
}

func runPoll(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
	return t.waitFor(e, func() error {
		n, err := t.Sys(func() (int, error) { return again(func() (int, error) { return poll(fds, -1) }) },
			"poll([{fd=%d, events=POLLIN}], 1, -1)", e.FD())
		return expect(err, n == 1 && fds[0].Revents == efd.POLLIN, "poll gave %d and %v, want 1 and POLLIN", n, fds[0].Revents)
	}, nrPoll)
}

func runPpollMany(t *T) error {
	var fds []efd.PollFD
	var last *efd.EventFD
	for range 40 {
		e, err := t.EventFD(0, 0)
		if err != nil {
			return err
		}
		last, fds = e, append(fds, efd.PollFD{FD: int32(e.FD()), Events: efd.POLLIN})
	}
	return t.waitFor(last, func() error {
		n, err := efd.Poll(fds, efd.Forever, nil)
		end := fds[len(fds)-1]
		return expect(err, n == 1 && end.Revents == efd.POLLIN, "ppoll gave %d and %v for the last, want 1 and POLLIN", n, end.Revents)
	}, ppollCalls...)
}

func runPpollTwo(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	other, err := t.Second(func() error { return t.Ppoll(e.FD(), efd.POLLIN) }, ppollCalls...)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLIN, nil); err != nil {
		return err
	}
	if err := t.Act(func() error { return e.Write(1) }); err != nil {
		return err
	}
	return other.wokenToo(t.wake)
}

func runPpollMask(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	mask, err := efd.NewSigSet(harmless)
	if err != nil {
		return err
	}
	err = t.Wait(func() error {
		fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
		n, err := efd.Poll(fds, efd.Forever, &mask)
		return expect(err, n == 1, "ppoll gave %d, want 1", n)
	}, ppollCalls...)
	if err != nil {
		return err
	}
	if err := t.signalUnnoticed(harmless); err != nil {
		return err
	}
	return t.Act(func() error { return e.Write(1) })
}

func runPollOnEpoll(t *T) error {
	e, p, err := t.EventFDInEpoll()
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(p.FD(), efd.POLLIN, nil); err != nil {
		return err
	}
	return t.Act(func() error { return e.Write(1) })
}
