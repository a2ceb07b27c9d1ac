package scenario

import (
	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var unixSockets = []*Scenario{
	{
		Name: "unix", System: 17, Title: "a thread sleeps in ppoll on a Unix stream socket, another writes to its peer",
		Source: "unix", Waiter: "ppoll", Callbacks: []string{"pollwake"}, Paths: []string{"ppoll", "poll_wake"},
		run: func(t *T) error { return t.unixPair(unix.SOCK_STREAM, "SOCK_STREAM") },
	},
	{
		Name: "unix_dgram", System: 17, Title: "a thread sleeps in ppoll on a Unix datagram socket, another writes to its peer",
		Source: "unix", Waiter: "ppoll", Callbacks: []string{"pollwake"}, Paths: []string{"ppoll", "poll_wake"},
		run: func(t *T) error { return t.unixPair(unix.SOCK_DGRAM, "SOCK_DGRAM") },
	},
}

func (t *T) unixPair(typ int, name string) error {
	var p [2]int
	err := t.do(func() (err error) {
		p, err = unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
		return err
	}, "socketpair(AF_UNIX, %s|SOCK_CLOEXEC, 0, %v)", name, later(func() string { return pair(p) }))
	if err != nil {
		return err
	}
	t.keep(p[0], "Unix socket")
	t.keep(p[1], "Unix socket")
	if err := t.WaitPpoll(p[0], efd.POLLIN, func() error { return t.readBytes(p[0], "x") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(p[1], "x") })
}
