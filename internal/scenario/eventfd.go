//go:build linux

package scenario

import (
	"errors"
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// Operations of eventfd2, read and write other than the plain wait.
var eventfds = []*Scenario{
	{
		Name: "eventfd2", System: 1, Title: "an eventfd is made, looked at in fdinfo, duplicated and closed; a write to the duplicate wakes the reader of the first",
		Source: "eventfd_write", Waiter: "read", SleepPath: "eventfd_read", Through: []string{"sleeper"}, Paths: []string{"eventfd2", "eventfd_fdinfo", "eventfd_read", "eventfd_release"},
		run: runEventfd2,
	},
	{
		Name: "read_semaphore", System: 2, Title: "a read of a semaphore takes 1 of the 3 that a write added",
		Source: "eventfd_write", Waiter: "read", SleepPath: "eventfd_read", Through: []string{"sleeper"}, Paths: []string{"eventfd2", "eventfd_read"},
		run: runSemaphore,
	},
	{
		Name: "write_blocked", System: 3, Title: "a write sleeps on a full counter until a read makes room",
		Source: "eventfd_read", Waiter: "write", SleepPath: "eventfd_write", Through: []string{"sleeper"}, Paths: []string{"eventfd2", "eventfd_write"},
		run: runWriteBlocked,
	},
	{
		Name: "read_wakes_pollout", System: 2, Title: "a thread sleeps in ppoll for POLLOUT on a full counter, a read makes room",
		Source: "eventfd_read", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "ppoll", "poll_wake"},
		run: runPollOut,
	},
	{
		Name: "write_refused", System: 3, Title: "writes that the kernel refuses wake nobody: 2^64-1 is EINVAL, too much for the counter EAGAIN",
		Source: "eventfd_read", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "eventfd_write", "ppoll", "poll_wake"},
		run: runWriteRefused,
	},
	{
		Name: "write_zero", System: 3, Title: "a write of 0 wakes a poller, which finds nothing and sleeps again",
		Source: "eventfd_write", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "ppoll", "poll_wake"},
		run: runWriteZero,
	},
}

// readExpect is the waiter's blocking read.
func readExpect(e *efd.EventFD, want uint64) func() error {
	return func() error {
		v, err := e.Read()
		return expect(err, v == want, "read gave %d, want %d", v, want)
	}
}

func runEventfd2(t *T) error {
	e, err := t.EventFD(3, efd.Blocking)
	if err != nil {
		return err
	}
	var dup *efd.EventFD
	err = t.Do(func() error {
		info, err := e.Info()
		if err = expect(err, info.Count == 3 && !info.Semaphore, "fdinfo gave %+v, want count 3", info); err != nil {
			return err
		}
		v, err := e.Read()
		if err = expect(err, v == 3, "read gave %d, want the initial 3", v); err != nil {
			return err
		}
		dup, err = e.Dup()
		return err
	})
	if err != nil {
		return err
	}
	t.Cleanup(func() { dup.Close() })
	if err := t.Wait(readExpect(e, 1), unix.SYS_READ); err != nil {
		return err
	}
	return t.Act(func() error { return dup.Write(1) })
}

func runSemaphore(t *T) error {
	e, err := t.EventFD(0, efd.Semaphore|efd.Blocking)
	if err != nil {
		return err
	}
	if err := t.Wait(readExpect(e, 1), unix.SYS_READ); err != nil {
		return err
	}
	if err := t.Act(func() error { return e.Write(3) }); err != nil {
		return err
	}
	info, err := e.Info()
	if err != nil {
		return err
	}
	return expect(nil, info.Count == 2, "%d are left, want 2", info.Count)
}

// fullEventFD makes an eventfd whose counter has no room.
func (t *T) fullEventFD(flags efd.Flag) (*efd.EventFD, error) {
	e, err := t.EventFD(0, flags)
	if err != nil {
		return nil, err
	}
	return e, t.Do(func() error { return e.Write(efd.MaxCount) })
}

// drain is the read that makes room.
func drain(e *efd.EventFD) func() error {
	return func() error {
		v, err := e.Read()
		return expect(err, v == efd.MaxCount, "read gave %d, want %d", v, efd.MaxCount)
	}
}

func runWriteBlocked(t *T) error {
	e, err := t.fullEventFD(efd.Blocking)
	if err != nil {
		return err
	}
	if err := t.Wait(func() error { return e.Write(1) }, unix.SYS_WRITE); err != nil {
		return err
	}
	return t.Act(drain(e))
}

func runPollOut(t *T) error {
	e, err := t.fullEventFD(0)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLOUT, nil); err != nil {
		return err
	}
	return t.Act(drain(e))
}

func runWriteRefused(t *T) error {
	e, err := t.fullEventFD(0)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLOUT, nil); err != nil {
		return err
	}
	err = t.Unnoticed(func() error {
		// The handle refuses this value before the call.
		all := ^uint64(0)
		b := (*[8]byte)(unsafe.Pointer(&all))[:]
		_, err := t.Sys(func() (int, error) { return unix.Write(e.FD(), b) }, `write(%d, "\377\377\377\377\377\377\377\377", 8)`, e.FD())
		if !errors.Is(err, unix.EINVAL) {
			return expect(err, false, "a write of 2^64-1 was taken, want EINVAL")
		}
		if err = e.Write(1); !errors.Is(err, unix.EAGAIN) {
			return expect(err, false, "a write to a full counter was taken, want EAGAIN")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.Act(drain(e))
}

func runWriteZero(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLIN, nil); err != nil {
		return err
	}
	err = t.Do(func() error {
		return t.SpuriousWake(t.scenario.Own(), func() error { return e.Write(0) }, ppollCalls...)
	})
	if err != nil {
		return err
	}
	return t.Act(func() error { return e.Write(1) })
}
