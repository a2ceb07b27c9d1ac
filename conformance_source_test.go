//go:build linux

package efd_test

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// pending reports whether sig waits for thread tid.
func pending(tid int, sig unix.Signal) bool {
	b, _ := os.ReadFile("/proc/self/task/" + strconv.Itoa(tid) + "/status")
	for line := range strings.Lines(string(b)) {
		if hex, ok := strings.CutPrefix(line, "SigPnd:"); ok {
			set, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return set>>(sig-1)&1 != 0
		}
	}
	return false
}

var sourceCases = []conformanceCase{
	{"pipe: empty", func(t *testing.T) { r, _ := pipe(t); equal(t, "events", pollOne(t, r.fd, inOut), 0) }},
	{"pipe: data", func(t *testing.T) {
		r, w := pipe(t)
		put(t, w.fd, 1)
		equal(t, "events", pollOne(t, r.fd, inOut|efd.POLLRDNORM), efd.POLLIN|efd.POLLRDNORM)
	}},
	{"pipe: writer gone", func(t *testing.T) {
		r, w := pipe(t)
		w.close()
		equal(t, "events", pollOne(t, r.fd, efd.POLLIN), efd.POLLHUP)
	}},
	{"pipe: writer gone, data left", func(t *testing.T) {
		r, w := pipe(t)
		put(t, w.fd, 1)
		w.close()
		equal(t, "events", pollOne(t, r.fd, efd.POLLIN), efd.POLLIN|efd.POLLHUP)
	}},
	{"pipe: room", func(t *testing.T) { _, w := pipe(t); equal(t, "events", pollOne(t, w.fd, inOut), efd.POLLOUT) }},
	{"pipe: full", func(t *testing.T) {
		_, w := pipe(t)
		fill(w.fd)
		equal(t, "events", pollOne(t, w.fd, inOut), 0)
	}},
	{"pipe: reader gone", func(t *testing.T) {
		r, w := pipe(t)
		r.close()
		equal(t, "events", pollOne(t, w.fd, efd.POLLIN), efd.POLLERR)
	}},
	{"pipe: a sleeper is woken by the writer's end", func(t *testing.T) {
		r, w := pipe(t)
		fds := []efd.PollFD{{FD: int32(r.fd), Events: efd.POLLIN}}
		p := park(t, callPpoll, func() { polls(t, fds, efd.Forever, 1) })
		w.close()
		p.wait(t)
		equal(t, "events", fds[0].Revents, efd.POLLHUP)
	}},
	{"socket pair: the other end shut for writing", func(t *testing.T) {
		a, b := socketPair(t)
		check(t, unix.Shutdown(b.fd, unix.SHUT_WR))
		equal(t, "events", pollOne(t, a.fd, efd.POLLIN|efd.POLLRDHUP), efd.POLLIN|efd.POLLRDHUP)
	}},
	{"socket pair: the other end closed", func(t *testing.T) {
		a, b := socketPair(t)
		b.close()
		equal(t, "events", pollOne(t, a.fd, efd.POLLIN|efd.POLLRDHUP), efd.POLLIN|efd.POLLRDHUP|efd.POLLHUP)
	}},
	{"socket pair: data", func(t *testing.T) {
		a, b := socketPair(t)
		put(t, b.fd, 5)
		equal(t, "events", pollOne(t, a.fd, inOut), inOut)
	}},
	{"TCP: a listener has somebody waiting", func(t *testing.T) {
		l, fd := listener(t)
		equal(t, "before", pollOne(t, fd, efd.POLLIN), 0)
		c, err := net.Dial("tcp", l.Addr().String())
		check(t, err)
		defer c.Close()
		fds := []efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}
		polls(t, fds, time.Minute, 1)
	}},
	{"TCP: urgent data is POLLPRI", func(t *testing.T) {
		a, b := tcpPair(t)
		check(t, unix.Sendto(b, []byte{1}, unix.MSG_OOB, nil))
		fds := []efd.PollFD{{FD: int32(a), Events: efd.POLLPRI}}
		polls(t, fds, time.Minute, 1)
		equal(t, "events", fds[0].Revents, efd.POLLPRI)
	}},
	{"TCP: the peer shut for writing", func(t *testing.T) {
		a, b := tcpPair(t)
		check(t, unix.Shutdown(b, unix.SHUT_WR))
		fds := []efd.PollFD{{FD: int32(a), Events: efd.POLLRDHUP}}
		polls(t, fds, time.Minute, 1)
		equal(t, "events", fds[0].Revents, efd.POLLRDHUP)
	}},
	{"TCP: a refused connection is POLLERR and POLLHUP", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		addr := l.Addr().(*net.TCPAddr)
		l.Close()
		s := own2(t)(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
		if err := unix.Connect(s.fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}); err == nil {
			t.Skip("the port has another listener")
		}
		fds := []efd.PollFD{{FD: int32(s.fd), Events: efd.POLLOUT}}
		polls(t, fds, time.Minute, 1)
		equal(t, "events", fds[0].Revents, efd.POLLOUT|efd.POLLERR|efd.POLLHUP)
	}},
	{"UDP: a datagram", func(t *testing.T) {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		check(t, err)
		defer c.Close()
		_, err = c.WriteTo([]byte("x"), c.LocalAddr())
		check(t, err)
		raw, err := c.(*net.UDPConn).SyscallConn()
		check(t, err)
		raw.Control(func(fd uintptr) { polls(t, []efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}, time.Minute, 1) })
	}},
	{"timerfd", func(t *testing.T) {
		fd := own2(t)(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)).fd
		equal(t, "before", pollOne(t, fd, efd.POLLIN), 0)
		check(t, unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: unix.Timespec{Nsec: 1e6}}, nil))
		polls(t, []efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}, time.Minute, 1)
	}},
	{"inotify", func(t *testing.T) {
		fd := own2(t)(unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)).fd
		dir := t.TempDir()
		_, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE)
		check(t, err)
		equal(t, "before", pollOne(t, fd, efd.POLLIN), 0)
		check(t, os.WriteFile(dir+"/x", nil, 0o600))
		polls(t, []efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}, time.Minute, 1)
	}},
	{"pidfd: the end of a process", func(t *testing.T) {
		native(t, "start a program")
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		in, err := cmd.StdinPipe()
		check(t, err)
		check(t, cmd.Start())
		fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
		in.Close()
		if err != nil {
			cmd.Wait()
			t.Skipf("needs pidfd_open, Linux 5.3: %v", err)
		}
		polls(t, []efd.PollFD{{FD: int32(own(t, fd, nil).fd), Events: efd.POLLIN}}, time.Minute, 1)
		cmd.Wait()
	}},
	{"a regular file is always ready", func(t *testing.T) {
		f, err := os.Open(os.Args[0])
		check(t, err)
		defer f.Close()
		equal(t, "events", pollOne(t, int(f.Fd()), inOut|efd.POLLPRI), inOut)
	}},
	{"/dev/null is always ready", func(t *testing.T) {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		check(t, err)
		defer f.Close()
		equal(t, "events", pollOne(t, int(f.Fd()), inOut), inOut)
	}},
	{"pty: the other side hung up", func(t *testing.T) {
		m := own2(t)(unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)).fd
		check(t, unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0))
		n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
		check(t, err)
		s, err := unix.Open("/dev/pts/"+strconv.Itoa(n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Skipf("needs devpts: %v", err)
		}
		check(t, unix.Close(s))
		equal(t, "events", pollOne(t, m, efd.POLLIN), efd.POLLHUP)
	}},
	{"an epoll is readable while it has something to tell", func(t *testing.T) {
		p, e := newEpoll(t), newEventFD(t, 0, 0)
		check(t, p.AddConn(e, efd.EPOLLIN, 0))
		equal(t, "before", pollOne(t, p.FD(), inOut), 0)
		check(t, e.Signal())
		equal(t, "after", pollOne(t, p.FD(), inOut), efd.POLLIN)
	}},
}

func put(t *testing.T, fd, n int) {
	t.Helper()
	_, err := unix.Write(fd, make([]byte, n))
	check(t, err)
}

// fill writes until there is no room.
func fill(fd int) {
	for b := make([]byte, 1<<16); ; {
		if _, err := unix.Write(fd, b); err != nil {
			return
		}
	}
}

func socketPair(t *testing.T) (a, b *number) {
	t.Helper()
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	check(t, err)
	return own(t, s[0], nil), own(t, s[1], nil)
}

// listener returns a TCP listener on loopback and a duplicate of its number.
func listener(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	f, err := l.(*net.TCPListener).File()
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return l, int(f.Fd())
}

// tcpPair returns the numbers of both ends of a connection.
func tcpPair(t *testing.T) (a, b int) {
	t.Helper()
	l, _ := listener(t)
	c, err := net.Dial("tcp", l.Addr().String())
	check(t, err)
	s, err := l.Accept()
	check(t, err)
	var fds [2]int
	for i, conn := range []net.Conn{c, s} {
		f, err := conn.(*net.TCPConn).File()
		check(t, err)
		conn.Close()
		t.Cleanup(func() { f.Close() })
		fds[i] = int(f.Fd())
	}
	return fds[0], fds[1]
}
