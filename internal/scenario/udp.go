//go:build linux

package scenario

import (
	"errors"
	"fmt"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var udps = []*Scenario{
	{
		Name: "udp", System: 17, Title: "a thread sleeps in ppoll on a UDP socket, a datagram comes over loopback",
		Source: "udp", Waiter: "ppoll", Through: []string{"poller"}, Context: "softirq", Paths: []string{"ppoll", "poll_wake"},
		run: runUDP,
	},
}

// loopback is one of the two addresses of this machine to itself.
type loopback struct {
	family int
	name   string // of the family
	addr   func(port int) unix.Sockaddr
	text   func(port int) string // as strace prints the address
	size   int
}

var (
	ipv4 = &loopback{unix.AF_INET, "AF_INET",
		func(port int) unix.Sockaddr { return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}} },
		func(port int) string {
			return fmt.Sprintf(`{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("127.0.0.1")}`, port)
		}, unix.SizeofSockaddrInet4}
	ipv6 = &loopback{unix.AF_INET6, "AF_INET6",
		func(port int) unix.Sockaddr { return &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}} },
		func(port int) string {
			return fmt.Sprintf(`{sa_family=AF_INET6, sin6_port=htons(%d), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}`, port)
		}, unix.SizeofSockaddrInet6}
)

// socket makes a socket, bound to loopback and a port of the kernel's choice
// where it is to be bound.
func (t *T) socket(l *loopback, typ int, name string, bound bool) (int, error) {
	fd, err := t.Open("socket", func() (int, error) { return unix.Socket(l.family, typ|unix.SOCK_CLOEXEC, 0) },
		"socket(%s, %s|SOCK_CLOEXEC, 0)", l.name, name)
	if err != nil {
		if errors.Is(err, unix.EAFNOSUPPORT) {
			return -1, Skip("socket: the kernel has no %s", l.name)
		}
		return -1, err
	}
	if !bound {
		return fd, nil
	}
	err = t.do(func() error { return unix.Bind(fd, l.addr(0)) }, "bind(%d, %s, %d)", fd, l.text(0), l.size)
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return -1, Skip("bind: the loopback interface has no address of %s", l.name)
	}
	return fd, err
}

// connect connects fd to the address of the socket to.
func (t *T) connect(l *loopback, fd, to int) error {
	return t.Do(func() error { return t.connectHere(l, fd, to) })
}

// connectHere is connect on the thread that calls it.
func (t *T) connectHere(l *loopback, fd, to int) error {
	sa, err := unix.Getsockname(to)
	if err != nil {
		return callError(err, "getsockname")
	}
	port := 0
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		port = sa.Port
	case *unix.SockaddrInet6:
		port = sa.Port
	}
	err = t.sys(func() error { return unix.Connect(fd, l.addr(port)) }, "connect(%d, %s, %d)", fd, l.text(port), l.size)
	if errors.Is(err, unix.ENETUNREACH) {
		return Skip("connect: the loopback interface is down")
	}
	return err
}

func runUDP(t *T) error {
	in, err := t.socket(ipv4, unix.SOCK_DGRAM, "SOCK_DGRAM", true)
	if err != nil {
		return err
	}
	out, err := t.socket(ipv4, unix.SOCK_DGRAM, "SOCK_DGRAM", false)
	if err != nil {
		return err
	}
	if err := t.connect(ipv4, out, in); err != nil {
		return err
	}
	if err := t.WaitPpoll(in, efd.POLLIN, func() error { return t.readBytes(in, "x") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(out, "x") })
}
