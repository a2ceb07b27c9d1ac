package scenario

import (
	"errors"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var udps = []*Scenario{
	{
		Name: "udp", System: 17, Title: "a thread sleeps in ppoll on a UDP socket, a datagram comes over loopback",
		Source: "udp", Waiter: "ppoll", Callbacks: []string{"pollwake"}, Context: "softirq", Paths: []string{"ppoll", "poll_wake"},
		run: runUDP,
	},
}

// socket makes an IPv4 socket, bound to loopback and a port of the kernel's
// choice where it is to be bound.
func (t *T) socket(typ int, name string, bound bool) (int, error) {
	fd, err := t.Open("socket", func() (int, error) { return unix.Socket(unix.AF_INET, typ|unix.SOCK_CLOEXEC, 0) },
		"socket(AF_INET, %s|SOCK_CLOEXEC, 0)", name)
	if err != nil {
		if errors.Is(err, unix.EAFNOSUPPORT) {
			return -1, Skip("socket: the kernel has no IPv4")
		}
		return -1, err
	}
	if !bound {
		return fd, nil
	}
	err = t.do(func() error { return unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback}) },
		`bind(%d, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16)`, fd)
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return -1, Skip("bind: 127.0.0.1 is not configured")
	}
	return fd, err
}

var loopback = [4]byte{127, 0, 0, 1}

// connect connects fd to what the socket to is bound to.
func (t *T) connect(fd, to int) error {
	sa, err := unix.Getsockname(to)
	if err != nil {
		return callError(err, "getsockname")
	}
	port := sa.(*unix.SockaddrInet4).Port
	err = t.do(func() error { return unix.Connect(fd, sa) },
		`connect(%d, {sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("127.0.0.1")}, 16)`, fd, port)
	if errors.Is(err, unix.ENETUNREACH) {
		return Skip("connect: 127.0.0.1 cannot be reached: the loopback interface is down")
	}
	return err
}

func runUDP(t *T) error {
	in, err := t.socket(unix.SOCK_DGRAM, "SOCK_DGRAM", true)
	if err != nil {
		return err
	}
	out, err := t.socket(unix.SOCK_DGRAM, "SOCK_DGRAM", false)
	if err != nil {
		return err
	}
	if err := t.connect(out, in); err != nil {
		return err
	}
	if err := t.WaitPpoll(in, efd.POLLIN, func() error { return t.readBytes(in, "x") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(out, "x") })
}
