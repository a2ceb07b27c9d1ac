//go:build linux

package learn

import (
	"errors"
	"fmt"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// waitFor asks an epoll without sleeping and requires how many are ready.
func waitFor(p *efd.Epoll, want int) error {
	var evs [4]efd.EpollEvent
	n, err := p.Wait(evs[:], 0, nil)
	return errs(n == want, fmt.Sprintf("%d ready, not %d", want, n), err)
}

var levels = &Lesson{
	Name: "levels", System: 12, Title: "Level and edge", Scenario: "epoll_edge",
	Question: "Eventfd 3 is in epoll 4 as usual, and in epoll 5 with EPOLLET. Somebody writes 1 and nobody reads. Each epoll is asked twice; then somebody writes again, and each is asked once more. Who says ready, when?",
	Answer: "Epoll 4 says ready each time: level-triggered, an item that was handed out goes back on the ready list and is asked again by the next call. " +
		"Epoll 5 says it once, and once more after the second write: an edge is a wake of the file's queue, and each write makes one, although the counter was above 0 all the time.",
	Paths: []string{"epoll_wait", "epoll_wake"},
	run: func(s *stage) error {
		e, err := s.eventfd(0, 0)
		if err != nil {
			return err
		}
		level, err := s.epoll()
		if err != nil {
			return err
		}
		edge, err := s.epoll()
		if err != nil {
			return err
		}
		return errors.Join(
			level.Add(e.FD(), efd.EPOLLIN, 1), edge.Add(e.FD(), efd.EPOLLIN|efd.EPOLLET, 2), e.Write(1),
			waitFor(level, 1), waitFor(level, 1), waitFor(edge, 1), waitFor(edge, 0), e.Write(1), waitFor(level, 1), waitFor(edge, 1))
	},
}

var ghost = &Lesson{
	Name: "ghost", System: 12, Title: "An event for a number that is closed",
	Question: "Eventfd 3 is put into epoll 4, duplicated as 5, and then 3 is closed. Somebody writes through 5. Does epoll 4 still report 3? And can 3 be taken out?",
	Answer: "It reports it, and goes on to do so. An epoll watches open files, not numbers: the registration ends when the last descriptor of the file is closed. " +
		"EPOLL_CTL_DEL with 3 is EBADF by now, and with 5 it is ENOENT, since an item is found by file and number together. The way out is to delete before closing.",
	Paths: []string{"epoll_ctl", "epoll_release"},
	run: func(s *stage) error {
		e, err := efd.New(0, 0)
		if err != nil {
			return err
		}
		p, err := s.epoll()
		if err != nil {
			e.Close()
			return err
		}
		fd := e.FD()
		err = p.Add(fd, efd.EPOLLIN, 3)
		d, dupErr := e.Dup()
		if dupErr == nil {
			s.cleanup(func() { d.Close() })
		}
		if err := errors.Join(err, dupErr, e.Close()); err != nil {
			return err
		}
		if err := errors.Join(d.Write(1), waitFor(p, 1)); err != nil {
			return err
		}
		gone, other := p.Delete(fd), p.Delete(d.FD())
		return errs(errors.Is(gone, unix.EBADF) && errors.Is(other, unix.ENOENT), "EBADF and ENOENT")
	},
}

var nested = &Lesson{
	Name: "nested", System: 12, Title: "Epolls in epolls",
	Question: "Eventfd 3 is in epoll 4, which is in 5, which is in 6, and so on. How deep may that be?",
	Answer: "An epoll can be waited for like any file: it is ready when something on its ready list is. Four links of one epoll in another work, the fifth is ELOOP (5.10: EINVAL, from reverse_path_check), as is a ring. " +
		"The eventfd at the bottom makes the outermost ready: each level's ep_poll_callback wakes the next.",
	Paths:    []string{"epoll_nested"},
	Scenario: "epoll_nested",
	run: func(s *stage) error {
		e, err := s.eventfd(1, 0)
		if err != nil {
			return err
		}
		inner := e.FD()
		var outer *efd.Epoll
		for depth := 0; ; depth++ {
			p, err := s.epoll()
			if err != nil {
				return err
			}
			if err = p.Add(inner, efd.EPOLLIN, uint64(depth)); err != nil {
				refused := errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EINVAL) // by 5.10
				return errs(refused && depth == 5, fmt.Sprintf("ELOOP at the fifth link, not %v at %d", err, depth), waitFor(outer, 1))
			}
			inner, outer = p.FD(), p
		}
	},
}
