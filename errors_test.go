//go:build linux

package efd_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// What the kernel refuses names the argument and the rule, and is the kernel's
// error all the same.
func TestKernelErrorsNameTheArgument(t *testing.T) {
	e, other := newEventFD(t, 1, 0), newEventFD(t, 0, 0)
	gone := other.FD()
	check(t, other.Close())
	var lim unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	var mask efd.SigSet
	type attempt struct {
		call  func() error
		errno unix.Errno
		text  string
	}
	cases := map[string]attempt{
		"FromFD":  {func() error { _, err := efd.FromFD(gone); return err }, unix.EBADF, fmt.Sprintf("fd %d: want an open descriptor: fcntl", gone)},
		"AdoptFD": {func() error { _, err := efd.AdoptFD(gone, 0); return err }, unix.EBADF, fmt.Sprintf("efd: AdoptFD: fd %d: want an open descriptor: fcntl", gone)},
		"Select":  {func() error { _, err := efd.Select(setOf(e.FD()), setOf(gone), nil, 0, nil); return err }, unix.EBADF, fmt.Sprintf("fd %d in a set", gone)},
		// A number above the descriptor table is not open either, and not what
		// the kernel refuses.
		"Select, with a high number": {func() error { _, err := efd.Select(setOf(1<<21), nil, setOf(gone), 0, nil); return err }, unix.EBADF, fmt.Sprintf("fd %d in a set", gone)},
		"Select, with a mask":        {func() error { _, err := efd.Select(setOf(gone), nil, nil, efd.Forever, &mask); return err }, unix.EBADF, fmt.Sprintf("fd %d in a set", gone)},
	}
	if lim.Cur <= 1<<21 {
		many := make([]efd.PollFD, lim.Cur+1)
		text := fmt.Sprintf("fds: %d entries: want at most the soft limit RLIMIT_NOFILE: ppoll", len(many))
		cases["Poll"] = attempt{func() error { _, err := efd.Poll(many, 0, nil); return err }, unix.EINVAL, text}
		cases["Poll, with a mask"] = attempt{func() error { _, err := efd.Poll(many, efd.Forever, &mask); return err }, unix.EINVAL, text}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "high number") {
				native(t, "select above 1023")
			}
			err := c.call()
			var sys *os.SyscallError
			if !errors.Is(err, c.errno) || !errors.As(err, &sys) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %q and %v", err, c.text, c.errno)
			}
		})
	}
}

// Each method of an Epoll names itself, the descriptor and the rule, and keeps
// the kernel's error.
func TestEpollErrors(t *testing.T) {
	p, full := newEpoll(t), newEpoll(t)
	in, out := newEventFD(t, 0, 0), newEventFD(t, 0, 0)
	const closed = 1 << 20
	check(t, p.AddConn(in, efd.EPOLLIN, 0))
	check(t, full.Add(p.FD(), efd.EPOLLIN, 0))
	file, err := os.Open("/proc/self/exe")
	check(t, err)
	defer file.Close()
	for _, c := range []struct {
		err   error
		errno unix.Errno
		call  string
		text  string
	}{
		{p.Add(closed, efd.EPOLLIN, 0), unix.EBADF, "epoll_ctl", fmt.Sprintf("efd: Epoll.Add: fd %d: want an open descriptor: epoll_ctl", closed)},
		{p.Modify(closed, efd.EPOLLIN, 0), unix.EBADF, "epoll_ctl", fmt.Sprintf("efd: Epoll.Modify: fd %d: want an open descriptor: epoll_ctl", closed)},
		{p.Add(-1, efd.EPOLLIN, 0), unix.EBADF, "", "efd: Epoll.Add: fd -1: want an open descriptor"},
		{p.AddConn(in, efd.EPOLLIN, 0), unix.EEXIST, "epoll_ctl", fmt.Sprintf("efd: Epoll.AddConn: fd %d is registered already", in.FD())},
		{p.ModifyConn(out, efd.EPOLLIN, 0), unix.ENOENT, "epoll_ctl", fmt.Sprintf("efd: Epoll.ModifyConn: fd %d is not registered", out.FD())},
		{p.DeleteConn(out), unix.ENOENT, "epoll_ctl", fmt.Sprintf("efd: Epoll.DeleteConn: fd %d is not registered", out.FD())},
		{p.Delete(out.FD()), unix.ENOENT, "epoll_ctl", fmt.Sprintf("efd: Epoll.Delete: fd %d is not registered", out.FD())},
		{p.AddConn(file, efd.EPOLLIN, 0), unix.EPERM, "epoll_ctl", "efd: Epoll.AddConn: fd " + strconv.Itoa(int(file.Fd())) + " is a file that is always ready"},
		{p.Add(full.FD(), efd.EPOLLIN, 0), unix.ELOOP, "epoll_ctl", fmt.Sprintf("efd: Epoll.Add: fd %d is an epoll: want no circle", full.FD())},
		{p.Add(p.FD(), efd.EPOLLIN, 0), unix.EINVAL, "", fmt.Sprintf("efd: Epoll.Add: fd %d is the epoll's own", p.FD())},
		{p.AddConn(full, efd.EPOLLIN|efd.EPOLLEXCLUSIVE, 0), unix.EINVAL, "", "EPOLLEXCLUSIVE cannot be given to an epoll"},
		{p.Add(out.FD(), efd.EPOLLEXCLUSIVE|efd.EPOLLONESHOT, 0), unix.EINVAL, "", fmt.Sprintf("efd: Epoll.Add: fd %d: events EPOLLEXCLUSIVE|EPOLLONESHOT", out.FD())},
	} {
		var sys *os.SyscallError
		if !errors.Is(c.err, c.errno) || !strings.Contains(fmt.Sprint(c.err), c.text) || errors.As(c.err, &sys) != (c.call != "") || sys != nil && sys.Syscall != c.call {
			t.Errorf("%v, want %q and %v", c.err, c.text, c.errno)
		}
	}
}

// What was passed is named, and what to do.
func TestArgumentErrors(t *testing.T) {
	p := newEpoll(t)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	check(t, err)
	blocking, err := efd.FromFD(fd)
	check(t, err)
	defer blocking.Close()
	closed := newEventFD(t, 0, 0)
	var set efd.PollSet
	defer set.Close()
	check(t, set.Add(blocking, efd.POLLIN))
	for text, call := range map[string]func() error{
		fmt.Sprintf("efd: FromFD: fd %d is anon_inode:[eventpoll], and not an eventfd (EINVAL)", p.FD()): func() error { _, err := efd.FromFD(p.FD()); return err },
		"EFD_CLOEXEC is always set":                                 func() error { _, err := efd.New(0, unix.EFD_CLOEXEC); return err },
		"came to FromFD without O_NONBLOCK":                         func() error { _, err := blocking.ReadContext(t.Context()); return err },
		fmt.Sprintf("eventfd %d is a member already", fd):           func() error { return set.Add(blocking, efd.POLLIN) },
		fmt.Sprintf("efd: PollSet.Modify: eventfd %d", closed.FD()): func() error { return set.Modify(closed, efd.POLLIN) },
	} {
		if err := call(); !strings.Contains(fmt.Sprint(err), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}

// A number above 31 bits is refused. The kernel would take its low 32 bits, and
// so some other descriptor.
func TestNumbersAreNotCut(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("int has 32 bits here")
	}
	p, e := newEpoll(t), newEventFD(t, 0, 0)
	check(t, p.Add(e.FD(), efd.EPOLLIN, 1))
	high := int(uint64(e.FD()) | 1<<32)
	other := newEventFD(t, 0, 0)
	for name, err := range map[string]error{
		"FromFD": func() error { _, err := efd.FromFD(high); return err }(),
		"Add":    p.Add(int(uint64(other.FD())|1<<32), efd.EPOLLIN, 2),
		"Modify": p.Modify(high, efd.EPOLLOUT, 2),
		"Delete": p.Delete(high),
	} {
		if !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "want an open descriptor") {
			t.Errorf("%s: %v, want EBADF", name, err)
		}
	}
	if l, err := p.Interest(); err != nil || len(l) != 1 || l[0].Data != 1 {
		t.Errorf("the epoll has %v, %v; want what was added first", l, err)
	}
}

// A Conn of another package that is closed is os.ErrClosed, and says what its
// own package says.
func TestClosedConns(t *testing.T) {
	r, w, err := os.Pipe()
	check(t, err)
	check(t, r.Close())
	check(t, w.Close())
	l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	check(t, l.Close())
	p, s := newEpoll(t), newPollSet(t, efd.POLLIN)
	for name, c := range map[string]struct {
		conn syscall.Conn
		says string
	}{"os.File": {r, "use of closed file"}, "net.UDPConn": {l, "use of closed network connection"}} {
		for call, err := range map[string]error{
			"AddConn":    p.AddConn(c.conn, efd.EPOLLIN, 0),
			"ModifyConn": p.ModifyConn(c.conn, efd.EPOLLIN, 0),
			"DeleteConn": p.DeleteConn(c.conn),
			"Add":        s.Add(c.conn, efd.POLLIN),
		} {
			if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s of a closed %s: %v, want os.ErrClosed that says %q", call, name, err, c.says)
			}
		}
	}
}

// A function that is nil is refused where it is given, not where it is called.
func TestNilFunctions(t *testing.T) {
	if o, err := efd.Observe(efd.OnWake(nil)); err == nil || !strings.Contains(err.Error(), "OnWake: fn is nil") {
		t.Errorf("Observe(OnWake(nil)) = %v, %v", o, err)
	}
	defer func() {
		if r := fmt.Sprint(recover()); !strings.Contains(r, "AddTracer: fn is nil") {
			t.Errorf("AddTracer(nil): %s", r)
		}
	}()
	efd.AddTracer(nil)()
}
