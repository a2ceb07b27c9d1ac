//go:build linux

package learn

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// sysPpoll are the numbers of ppoll: its own, and that of ppoll_time64 on
// 32-bit machines and on 32-bit mips.
var sysPpoll = []int{unix.SYS_PPOLL, 414, 4414}

// pollOne polls one descriptor and requires the result want.
func pollOne(fd int, events, want efd.PollEvents, d time.Duration) error {
	fds := []efd.PollFD{{FD: int32(fd), Events: events}}
	_, err := efd.Poll(fds, d, nil)
	return errs(fds[0].Revents == want, "revents "+want.String()+", not "+fds[0].Revents.String(), err)
}

var poll = &Lesson{
	Name: "poll", System: 10, Title: "Sleeping in poll, and being woken", Scenario: "ppoll",
	Topics:   []string{"one chance to queue", "pollwake", "triggered"},
	Question: "A thread sleeps in ppoll on an eventfd. Another writes 1. The thread polls again at once, without reading. Does the second poll sleep?",
	Answer: "No: the second poll returns at once. A wake says only that it is worth looking; what poll reports is what it finds when it asks the file. The counter is still 1, so the file is still ready, " +
		"until somebody reads. In the first call the thread had left an entry on the eventfd's wait queue, with pollwake as its function, and the write called it.",
	Paths: []string{"ppoll", "poll_wake"},
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		fd := e.FD()
		if err := s.sleep(func() error {
			return errors.Join(pollOne(fd, efd.POLLIN, efd.POLLIN, efd.Forever), pollOne(fd, efd.POLLIN, efd.POLLIN, efd.Forever))
		}, sysPpoll...); err != nil {
			return err
		}
		if err := errors.Join(e.Write(1), s.woken()); err != nil {
			return err
		}
		v, err := e.Read()
		return errs(v == 1, "a read of 1", err, pollOne(fd, efd.POLLIN, 0, 0))
	},
}

var filtered = &Lesson{
	Name: "filtered", System: 11, Title: "A wake that wakes nobody",
	Question: "The counter is full, and a thread sleeps in ppoll for POLLOUT alone. Another writes 0: that succeeds, and runs the callbacks. Does the sleeper wake?",
	Answer: "No. The write passes EPOLLIN as the key of the wake; pollwake looks whether the sleeper wants any of it, and drops the wake. After the write the thread still sleeps: /proc says so. " +
		"The read passes EPOLLOUT, and that wakes it. The dropped wake leaves no record, since no task was woken: so no wake-up record is no proof that no callback ran.",
	Paths:    []string{"poll_wake"},
	Scenario: "read_wakes_pollout",
	wakes: []wake{{"poll_wake", "filtered", "at the write of 0, where pollwake finds that nobody asked for EPOLLIN and returns"},
		{"poll_wake", "", "at the read, which passes EPOLLOUT"}},
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		if err := e.Write(efd.MaxCount); err != nil {
			return err
		}
		fd := e.FD()
		if err := s.sleep(func() error { return pollOne(fd, efd.POLLOUT, efd.POLLOUT, efd.Forever) }, sysPpoll...); err != nil {
			return err
		}
		if err := errors.Join(e.Write(0), s.asleep()); err != nil {
			return err
		}
		_, err = e.Read()
		return errors.Join(err, s.woken())
	},
}

var timeout = &Lesson{
	Name: "timeout", System: 13, Title: "Running out of time",
	Question: "Nothing is ready. What does ppoll with a time-out of 0 do, and what with 2 ms? Can it return before the 2 ms are over?",
	Answer: "With 0 it asks every file once, registers nowhere and returns 0. With 2 ms it registers, sleeps with a timer, asks once more when the time is up, and returns 0. " +
		"It never returns early for time; it may be late by its slack (a thousandth of the time-out, and at least the timer slack, 50 µs for an ordinary thread), and by what the machine is busy with. " +
		"The time-out counts nanoseconds in ppoll, milliseconds in poll: that is what \"nanoseconds\" means there.",
	Paths:    []string{"timeout"},
	Scenario: "timeout_ppoll",
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		if err := pollOne(e.FD(), efd.POLLIN, 0, 0); err != nil {
			return err
		}
		before := time.Now()
		err = pollOne(e.FD(), efd.POLLIN, 0, 2*time.Millisecond)
		return errs(time.Since(before) >= 2*time.Millisecond, "2 ms to pass", err)
	},
}

var mask = &Lesson{
	Name: "mask", System: 14, Title: "The mask of ppoll",
	Question: "SIGUSR1 waits, since the thread blocks it. It calls ppoll for 2 ms with a mask that holds USR1, then for 2 ms with an empty mask. Which of the two does the signal end?",
	Answer: "The second. The mask names the signals that are blocked during the wait, not those that may end it. With USR1 in the mask the signal stays pending and the time runs out; " +
		"with the empty mask it is let in as the wait begins, in one step with it, and ppoll ends with EINTR. Inside, the kernel returned ERESTARTNOHAND: a handler ran, so the program gets EINTR; SA_RESTART would change nothing. " +
		"URG is in both masks: the library keeps SIGURG, by which Go's runtime preempts goroutines, out of every wait with a mask.",
	Paths:    []string{"ppoll", "signal"},
	Topics:   []string{"SA_RESTART", "Ctrl-C", "names the signals", "nanosecond-level"},
	Scenario: "signal_ppoll",
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		got := make(chan os.Signal, 1)
		signal.Notify(got, unix.SIGUSR1)
		defer signal.Stop(got)
		usr1, err := efd.NewSigSet(unix.SIGUSR1)
		if err != nil {
			return err
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return efd.WithSigMask(usr1, func() error {
			if err := unix.Tgkill(os.Getpid(), gettid(), unix.SIGUSR1); err != nil {
				return err
			}
			fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
			if n, err := efd.Poll(fds, 2*time.Millisecond, &usr1); err != nil || n != 0 {
				return errs(false, "the first ppoll to run out of time", err)
			}
			_, err := efd.Poll(fds, 2*time.Millisecond, new(efd.SigSet))
			var interrupted *efd.InterruptedError
			return errs(errors.As(err, &interrupted), "the second ppoll to be interrupted")
		})
	},
}

var selects = &Lesson{
	Name: "select", System: 9, Title: "select asks a file once for all three sets", Scenario: "pselect6",
	Question: "Eventfd 3 holds 1, eventfd 4 holds 0. Both are in the read set, and 4 is in the write set too. What does pselect6 return, and which bits are left?",
	Answer: "It returns 2: one bit in each of two sets. A file that is in any of the sets (the three are joined by OR) is asked once, and the answer is held against each set. " +
		"The sets come back with what is ready alone, and the time that is left is written into the time-out.",
	Paths: []string{"pselect6", "select"},
	run: func(s *stage) error {
		a, err := s.eventfd(1, 0)
		if err != nil {
			return err
		}
		b, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		var r, w efd.FDSet
		if err := errors.Join(r.Add(a.FD()), r.Add(b.FD()), w.Add(b.FD())); err != nil {
			return err
		}
		n, err := efd.Select(&r, &w, nil, 0, nil)
		return errs(n == 2 && r.Len() == 1 && r.Has(a.FD()) && w.Has(b.FD()), "3 readable and 4 writable", err)
	},
}

var closed = &Lesson{
	Name: "closed", System: 10, Title: "Polling what is not open",
	Question: "A program closes an eventfd and polls its number, without a time-out and for no event at all. Does it sleep for ever?",
	Answer: "It returns at once with POLLNVAL, which nobody has to ask for. A program that ignores it polls again and spins. The other calls differ: epoll_ctl says EBADF, " +
		"select says EBADF, and a number below 0 is skipped by poll, which is how one switches a member of the array off.",
	Paths:  []string{"ppoll"},
	Topics: []string{"POLLNVAL", "number of descriptors"},
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		fd := e.FD()
		if err := e.Close(); err != nil {
			return err
		}
		return errors.Join(pollOne(fd, 0, efd.POLLNVAL, efd.Forever), pollOne(fd, 0, efd.POLLNVAL, efd.Forever), pollOne(-1, efd.POLLIN, 0, 0))
	},
}
