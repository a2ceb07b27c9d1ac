//go:build linux

package scenario

import (
	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var unixSockets = []*Scenario{
	{
		Name: "unix", System: 17, Title: "a thread sleeps in ppoll on a Unix stream socket, another writes to its peer",
		Source: "unix", Branches: []string{"stream"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: func(t *T) error { return t.unixPair(unix.SOCK_STREAM, "SOCK_STREAM") },
	},
	{
		Name: "unix_dgram", System: 17, Title: "a thread sleeps in ppoll on a Unix datagram socket, another writes to its peer",
		Source: "unix", Branches: []string{"datagram"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: func(t *T) error { return t.unixPair(unix.SOCK_DGRAM, "SOCK_DGRAM") },
	},
	{
		Name: "unix_space", System: 17, Title: "a thread sleeps in ppoll for room in a Unix socket's send buffer, the peer reads",
		Source: "unix", Branches: []string{"space"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runUnixSpace,
	},
}

// socketpair makes two Unix sockets that are each other's peer.
func (t *T) socketpair(typ int, name string) (p [2]int, err error) {
	err = t.do(func() (err error) {
		p, err = unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		return err
	}, "socketpair(AF_UNIX, %s|SOCK_CLOEXEC, 0, %v)", name, later(func() string { return pair(p) }))
	if err != nil {
		return p, err
	}
	t.keep(p[0], "Unix socket")
	t.keep(p[1], "Unix socket")
	return p, nil
}

func (t *T) unixPair(typ int, name string) error {
	p, err := t.socketpair(typ, name)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(p[0], efd.POLLIN, func() error { return t.readBytes(p[0], "x") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(p[1], "x") })
}

// runUnixSpace fills one socket's send buffer, whose room comes back as the
// peer reads: POLLOUT is there again when a quarter of it or less is in use.
func runUnixSpace(t *T) error {
	p, err := t.socketpair(unix.SOCK_STREAM, "SOCK_STREAM")
	if err != nil {
		return err
	}
	sent, err := t.fill(p[0])
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(p[0], efd.POLLOUT, nil); err != nil {
		return err
	}
	return t.Act(func() error { return t.readAll(p[1], sent) })
}
