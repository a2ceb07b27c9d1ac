//go:build linux

package learn

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/efd-go/efd"
)

var hangup = &Lesson{
	Name: "hangup", System: 17, Title: "What nobody asked for",
	Question: "A thread polls the reading end of an empty pipe for POLLIN, and the writing end is closed. What does poll say, and what if it had asked for nothing?",
	Answer: "POLLHUP, both times: POLLERR and POLLHUP are always asked for, by poll and by epoll, whatever events says. There is nothing to read, so POLLIN is not said, " +
		"though a read would not block either: it gives 0, the end of the file.",
	Paths:    []string{"pipe"},
	Scenario: "pipe_close",
	run: func(s *stage) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		fd, err := number(r)
		if err != nil {
			w.Close()
			return err
		}
		if err := errors.Join(pollOne(fd, efd.POLLIN, 0, 0), w.Close()); err != nil {
			return err
		}
		return errors.Join(pollOne(fd, efd.POLLIN, efd.POLLHUP, efd.Forever), pollOne(fd, 0, efd.POLLHUP, efd.Forever))
	},
}

var tcp = &Lesson{
	Name: "tcp", System: 16, Title: "A socket is a file with a queue",
	Question: "A thread sleeps in ppoll for POLLIN on a TCP connection. The other side sends a byte, and later closes. What does poll say each time?",
	Answer: "POLLIN for the byte: tcp_data_queue called the socket's sk_data_ready, which woke its wait queue with EPOLLIN among the keys, and pollwake took that. " +
		"After the close POLLIN|POLLRDHUP, where POLLRDHUP was asked for: a read gives 0 now, and that is something to read. POLLHUP comes only when both directions are shut.",
	Paths:    []string{"tcp_poll", "tcp_receive"},
	Scenario: "tcp",
	run:      runTCP,
}

func runTCP(s *stage) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := l.Accept()
	if err != nil {
		return err
	}
	defer there.Close()
	fd, err := number(here.(*net.TCPConn))
	if err != nil {
		return err
	}
	if err := s.sleep(func() error { return pollOne(fd, efd.POLLIN|efd.POLLRDHUP, efd.POLLIN, efd.Forever) }, sysPpoll...); err != nil {
		return err
	}
	if _, err := there.Write([]byte{1}); err != nil {
		return err
	}
	if err := s.woken(); err != nil {
		return err
	}
	if _, err := here.Read(make([]byte, 1)); err != nil {
		return err
	}
	if err := s.sleep(func() error { return pollOne(fd, efd.POLLIN|efd.POLLRDHUP, efd.POLLIN|efd.POLLRDHUP, efd.Forever) }, sysPpoll...); err != nil {
		return err
	}
	return errors.Join(there.Close(), s.woken())
}

// number is the descriptor of a file that stays open for the lesson.
func number(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}
