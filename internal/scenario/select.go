//go:build linux

package scenario

import (
	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// The ways in which select(2) and pselect6(2) differ.
var selects = []*Scenario{
	{
		Name: "select", System: 9, Title: "a thread sleeps in select(2) on an eventfd, another writes to it",
		Source: "eventfd_write", Waiter: "select", Through: []string{"poller"}, Paths: []string{"eventfd2", "select", "poll_wake"},
		need: needCall(nrSelect, "select", "pselect6"),
		run:  runSelect,
	},
	{
		Name: "pselect6_sets", System: 9, Title: "a thread sleeps in pselect6 on all three sets; a read makes the one in the write set ready",
		Source: "eventfd_read", Waiter: "pselect6", Through: []string{"poller"}, Paths: []string{"eventfd2", "pselect6", "poll_wake"},
		run: runPselect6Sets,
	},
	{
		Name: "pselect6_mask", System: 9, Title: "a signal that pselect6's sixth argument blocks does not end the sleep; a write does",
		Source: "eventfd_write", Waiter: "pselect6", Through: []string{"poller"}, Paths: []string{"eventfd2", "pselect6", "poll_wake"},
		run: runPselect6Mask,
	},
}

func runSelect(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	if e.FD() >= unix.FD_SETSIZE {
		return Skip("select(2): the eventfd is descriptor %d, and an fd_set ends at %d", e.FD(), unix.FD_SETSIZE)
	}
	return t.waitFor(e, func() error {
		var set unix.FdSet
		n, err := t.Sys(func() (int, error) {
			return again(func() (int, error) {
				set.Zero()
				set.Set(e.FD())
				return selectRead(e.FD()+1, &set)
			})
		}, "select(%d, [%d], NULL, NULL, NULL)", e.FD()+1, e.FD())
		return expect(err, n == 1 && set.IsSet(e.FD()), "select gave %d", n)
	}, nrSelect)
}

func setOf(fds ...int) (*efd.FDSet, error) {
	var s efd.FDSet
	for _, fd := range fds {
		if err := s.Add(fd); err != nil {
			return nil, err
		}
	}
	return &s, nil
}

func runPselect6Sets(t *T) error {
	empty, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	full, err := t.fullEventFD(0)
	if err != nil {
		return err
	}
	r, err := setOf(empty.FD())
	if err != nil {
		return err
	}
	w, err := setOf(full.FD())
	if err != nil {
		return err
	}
	x, err := setOf(empty.FD(), full.FD())
	if err != nil {
		return err
	}
	err = t.Wait(func() error {
		n, err := efd.Select(r, w, x, efd.Forever, nil)
		return expect(err, n == 1 && r.Len() == 0 && w.Has(full.FD()) && x.Len() == 0, "pselect6 gave %d and %s %s %s", n, r, w, x)
	}, pselect6Calls...)
	if err != nil {
		return err
	}
	return t.Act(drain(full))
}

func runPselect6Mask(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	mask, err := efd.NewSigSet(harmless)
	if err != nil {
		return err
	}
	err = t.Wait(func() error {
		r, err := setOf(e.FD())
		if err != nil {
			return err
		}
		n, err := efd.Select(r, nil, nil, efd.Forever, &mask)
		return expect(err, n == 1 && r.Has(e.FD()), "pselect6 gave %d and %s", n, r)
	}, pselect6Calls...)
	if err != nil {
		return err
	}
	if err := t.signalUnnoticed(harmless); err != nil {
		return err
	}
	return t.Act(func() error { return e.Write(1) })
}
