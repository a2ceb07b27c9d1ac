//go:build linux

package learn

import (
	"errors"
	"fmt"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

func gettid() int { return unix.Gettid() }

// errs returns the first error, or one that names the expectation if ok is
// false.
func errs(ok bool, what string, errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("expected %s", what)
	}
	return nil
}

// again requires EAGAIN.
func again(err error) error {
	if !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("expected EAGAIN, got %v", err)
	}
	return nil
}

var counter = &Lesson{
	Name: "counter", System: 3, Title: "An eventfd is one number",
	Question: "An eventfd starts at 0. One thread writes 1, then 2. Then it reads twice. What do the two reads give?",
	Answer: "The first read gives 3: writes add up, and a read takes all there is. Nothing says how many writes there were. " +
		"The second read finds 0, and since the file is O_NONBLOCK it fails with EAGAIN instead of sleeping.",
	Paths:  []string{"eventfd2", "eventfd_write", "eventfd_read"},
	Topics: []string{"uniquely", "anon_inode_getfd", "one argument", "every entry on the queue", "ctx->flags"},
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(e.Write(1), e.Write(2)); err != nil {
			return err
		}
		v, err := e.Read()
		if err := errs(v == 3, "a read of 3", err); err != nil {
			return err
		}
		_, err = e.Read()
		return again(err)
	},
}

var semaphore = &Lesson{
	Name: "semaphore", System: 2, Title: "EFD_SEMAPHORE changes the read alone",
	Question: "An eventfd made with EFD_SEMAPHORE starts at 2, and somebody writes 1. How many reads succeed, and what does each give?",
	Answer: "Three reads succeed and each gives 1: with EFD_SEMAPHORE a read takes 1 off the counter, whatever it holds. " +
		"The flag changes nothing in write, and it is the only flag of those kept in ctx->flags that is looked at later: O_NONBLOCK counts in the file, where fcntl can change it.",
	Paths:    []string{"eventfd_read"},
	Topics:   []string{"ctx->flags"},
	Scenario: "read_semaphore",
	run: func(s *stage) error {
		e, err := s.eventfd(2, efd.Semaphore)
		if err != nil {
			return err
		}
		if err := e.Write(1); err != nil {
			return err
		}
		for range 3 {
			v, err := e.Read()
			if err := errs(v == 1, "a read of 1", err); err != nil {
				return err
			}
		}
		_, err = e.Read()
		return again(err)
	},
}

var full = &Lesson{
	Name: "full", System: 3, Title: "A counter that is full",
	Question: "The counter is brought to 2^64-2, its highest value. Does a write of 1 fail? Does poll say POLLIN, POLLOUT, or both? And a write of 0?",
	Answer: "The write of 1 finds no room: EAGAIN. Room is there when 2^64-1 minus the counter is more than the value, strictly, so 2^64-1 is never reached from user space. " +
		"poll says POLLIN alone: POLLOUT means that a write of 1 would not block. A write of 0 succeeds even now, adds nothing, and still runs the callbacks on the wait queue.",
	Paths:    []string{"eventfd_write"},
	Topics:   []string{"largest 64-bit value"},
	Scenario: "write_refused",
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(e.Write(efd.MaxCount), again(e.Write(1))); err != nil {
			return err
		}
		fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN | efd.POLLOUT}}
		n, err := efd.Poll(fds, 0, nil)
		return errs(n == 1 && fds[0].Revents == efd.POLLIN, "POLLIN alone", err, e.Write(0))
	},
}

var blocked = &Lesson{
	Name: "blocked", System: 2, Title: "Sleeping in read", Scenario: "read",
	Question: "A thread reads a blocking eventfd whose counter is 0, and sleeps. Another writes 5. What does the sleeping read give, and what is the counter then?",
	Answer: "The read gives 5 and leaves 0. The reader had put an entry on the eventfd's own wait queue; the write added 5 and called the function of that entry, " +
		"autoremove_wake_function, which woke the reader. A log of calls cannot show that: it has the two calls and their results, and their order in time proves nothing. " +
		"That the reader slept was known here from /proc before the write was made.",
	Paths:  []string{"eventfd_read"},
	Topics: []string{"ctx->flags", "blocked in write", "loop of its own"},
	run: func(s *stage) error {
		e, err := s.eventfd(0, efd.Blocking)
		if err != nil {
			return err
		}
		if err := s.sleep(func() error {
			v, err := e.Read()
			return errs(v == 5, "a read of 5", err)
		}, unix.SYS_READ); err != nil {
			return err
		}
		return errors.Join(e.Write(5), s.woken())
	},
}
