//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var tcps = []*Scenario{
	{
		Name: "tcp", System: 16, Title: "a thread sleeps in ppoll on a TCP connection, data come over loopback",
		Source: "tcp_receive", Branches: []string{"slow"}, Waiter: "ppoll", Through: []string{"poller"}, Context: "softirq", Paths: []string{"tcp_poll", "ppoll", "poll_wake"},
		run: func(t *T) error {
			return t.tcpData(ipv4, func(fd int) error {
				return t.WaitPpoll(fd, efd.POLLIN, func() error { return t.readBytes(fd, "x") })
			})
		},
	},
	{
		Name: "tcp6", System: 16, Title: "a thread sleeps in ppoll on a TCP connection, data come over the loopback of IPv6",
		Source: "tcp_receive", Branches: []string{"ipv6", "slow"}, Waiter: "ppoll", Through: []string{"poller"}, Context: "softirq", Paths: []string{"tcp_poll", "ppoll", "poll_wake"},
		run: func(t *T) error {
			return t.tcpData(ipv6, func(fd int) error {
				return t.WaitPpoll(fd, efd.POLLIN, func() error { return t.readBytes(fd, "x") })
			})
		},
	},
	{
		Name: "tcp_fast", System: 16, Title: "a thread sleeps in ppoll on a TCP connection that has carried data: new data takes the fast path",
		Source: "tcp_receive", Branches: []string{"fast"}, Waiter: "ppoll", Through: []string{"poller"}, Context: "softirq", Paths: []string{"tcp_poll", "ppoll", "poll_wake"},
		run: runTCPFast,
	},
	{
		Name: "tcp_epoll", System: 16, Title: "a thread sleeps in epoll_wait on a TCP connection, data come over loopback",
		Source: "tcp_receive", Branches: []string{"slow", "sync"}, Waiter: "epoll_pwait", Through: []string{"epoll", "epoll-waiter"}, Context: "softirq",
		Paths: []string{"tcp_poll", "epoll_ctl", "epoll_wait", "epoll_wake"},
		run: func(t *T) error {
			return t.tcpData(ipv4, func(fd int) error {
				p, err := t.EpollOf(fd, efd.EPOLLIN)
				if err != nil {
					return err
				}
				return t.Wait(epollWait(p, fd), epollCalls...)
			})
		},
	},
	{
		Name: "tcp_accept", System: 16, Title: "a thread sleeps in ppoll on a listening TCP socket, a connection comes over loopback",
		Source: "tcp_receive", Branches: []string{"accept"}, Waiter: "ppoll", Through: []string{"poller"}, Context: "softirq", Paths: []string{"tcp_poll", "ppoll", "poll_wake"},
		run: func(t *T) error {
			return t.tcpAccept(func(fd int) error { return t.WaitPpoll(fd, efd.POLLIN, nil) })
		},
	},
	{
		Name: "tcp_accept_epoll", System: 16, Title: "a thread sleeps in epoll_wait on a listening TCP socket, a connection comes over loopback",
		Source: "tcp_receive", Branches: []string{"accept", "sync"}, Waiter: "epoll_pwait", Through: []string{"epoll", "epoll-waiter"}, Context: "softirq",
		Paths: []string{"tcp_poll", "epoll_ctl", "epoll_wait", "epoll_wake"},
		run: func(t *T) error {
			return t.tcpAccept(func(fd int) error {
				p, err := t.EpollOf(fd, efd.EPOLLIN)
				if err != nil {
					return err
				}
				return t.Wait(epollWait(p, fd), epollCalls...)
			})
		},
	},
	{
		Name: "tcp_fin", System: 16, Title: "a thread sleeps in ppoll on a TCP connection, the peer sends no more",
		Source: "tcp_receive", Branches: []string{"slow", "fin"}, Waiter: "ppoll", Through: []string{"poller"}, Context: "softirq", Paths: []string{"tcp_poll", "ppoll", "poll_wake"},
		run: func(t *T) error {
			client, server, err := t.tcpPair(ipv4, nil)
			if err != nil {
				return err
			}
			if err := t.WaitPpoll(server, efd.POLLIN, nil); err != nil {
				return err
			}
			return t.Act(func() error {
				return t.sys(func() error { return unix.Shutdown(client, unix.SHUT_WR) }, "shutdown(%d, SHUT_WR)", client)
			})
		},
	},
	{
		Name: "tcp_send_space", System: 16, Title: "a thread sleeps in ppoll for room in a TCP connection's send buffer, the peer reads",
		Source: "tcp_send_space", Waiter: "ppoll", Through: []string{"poller"}, Context: "softirq", Paths: []string{"tcp_poll", "ppoll", "poll_wake"},
		run: runTCPSendSpace,
	},
}

// tcpPair makes a connection over loopback; set, which may be nil, is done to
// both sockets before they connect.
func (t *T) tcpPair(l *loopback, set func(fd int) error) (client, server int, err error) {
	at, client, err := t.tcpListener(l, set)
	if err != nil {
		return -1, -1, err
	}
	if err := t.connect(l, client, at); err != nil {
		return -1, -1, err
	}
	server, err = t.Open("socket", func() (int, error) {
		fd, _, err := unix.Accept4(at, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return fd, err
	}, "accept4(%d, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK)", at)
	return client, server, err
}

// tcpListener makes a listening socket, and one that may connect to it.
func (t *T) tcpListener(l *loopback, set func(fd int) error) (at, client int, err error) {
	if at, err = t.socket(l, unix.SOCK_STREAM, "SOCK_STREAM", true); err != nil {
		return -1, -1, err
	}
	if client, err = t.socket(l, unix.SOCK_STREAM, "SOCK_STREAM", false); err != nil {
		return -1, -1, err
	}
	if set != nil {
		if err := errors.Join(set(at), set(client)); err != nil {
			return -1, -1, err
		}
	}
	return at, client, t.do(func() error { return unix.Listen(at, 1) }, "listen(%d, 1)", at)
}

func (t *T) tcpAccept(wait func(fd int) error) error {
	at, client, err := t.tcpListener(ipv4, nil)
	if err != nil {
		return err
	}
	if err := wait(at); err != nil {
		return err
	}
	return t.Act(func() error { return t.connectHere(ipv4, client, at) })
}

func (t *T) tcpData(l *loopback, wait func(fd int) error) error {
	client, server, err := t.tcpPair(l, nil)
	if err != nil {
		return err
	}
	if err := wait(server); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(client, "x") })
}

// runTCPFast: header prediction requires that both sides have sent, and that
// the sent data was read.
func runTCPFast(t *T) error {
	client, server, err := t.tcpPair(ipv4, nil)
	if err != nil {
		return err
	}
	err = t.Do(func() error {
		for range 4 {
			err := errors.Join(t.writeBytes(client, "x"), t.readAll(server, 1), t.writeBytes(server, "x"), t.readAll(client, 1))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(server, efd.POLLIN, func() error { return t.readBytes(server, "x") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(client, "x") })
}

// runTCPSendSpace has segments and buffers of Ethernet's size: with those of
// loopback the window would open only when the receiver's buffer is empty.
func runTCPSendSpace(t *T) error {
	client, server, err := t.tcpPair(ipv4, func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1400),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10))
	})
	if err != nil {
		return err
	}
	sent, err := t.fillTCP(client)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(client, efd.POLLOUT, nil); err != nil {
		return err
	}
	return t.Act(func() error { return t.readAll(server, sent) })
}

// readAll reads n bytes from fd, on the current thread.
func (t *T) readAll(fd, n int) error {
	b := make([]byte, n)
	for got := 0; got < n; {
		k, err := unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EAGAIN):
			// The rest is on its way.
			if _, err := efd.Poll([]efd.PollFD{{FD: int32(fd), Events: efd.POLLIN}}, efd.Forever, nil); err != nil {
				return err
			}
		case err != nil:
			return callError(err, "read")
		default:
			got += k
		}
	}
	return nil
}

// fillTCP fills a connection until the peer's window is closed too: room comes
// back for as long as acknowledgements are on their way.
func (t *T) fillTCP(fd int) (sent int, err error) {
	for {
		n, err := t.fill(fd)
		if err != nil {
			return sent, err
		}
		sent += n
		for {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				return sent, callError(err, "getsockopt")
			}
			if info.Unacked == 0 {
				break
			}
			if t.ctx.Err() != nil {
				return sent, fmt.Errorf("%d segments were not acknowledged: %w", info.Unacked, t.ctx.Err())
			}
			time.Sleep(50 * time.Microsecond)
		}
		if n == 0 {
			return sent, nil
		}
	}
}

// fill writes to fd until it takes no more.
func (t *T) fill(fd int) (sent int, err error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return 0, err
	}
	b := []byte(strings.Repeat("x", 4<<10))
	err = t.Do(func() error {
		for {
			n, err := unix.Write(fd, b)
			if errors.Is(err, unix.EAGAIN) {
				return nil
			}
			if err != nil {
				return callError(err, "write")
			}
			sent += n
		}
	})
	return sent, err
}
