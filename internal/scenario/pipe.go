package scenario

import (
	"strings"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var pipes = []*Scenario{
	{
		Name: "pipe", System: 17, Title: "a thread sleeps in ppoll on the read end of a pipe, another writes to it",
		Source: "pipe", Waiter: "ppoll", Callbacks: []string{"pollwake"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPipe,
	},
	{
		Name: "pipe_space", System: 17, Title: "a thread sleeps in ppoll on the write end of a full pipe, another reads from it",
		Source: "pipe", Waiter: "ppoll", Callbacks: []string{"pollwake"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPipeSpace,
	},
}

// pipe makes a pipe on the waker's thread.
func (t *T) pipe() (r, w int, err error) {
	var p [2]int
	err = t.do(func() error { return unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK) },
		"pipe2(%v, O_CLOEXEC|O_NONBLOCK)", later(func() string { return pair(p) }))
	if err != nil {
		return -1, -1, err
	}
	t.keep(p[0], "pipe, read end")
	t.keep(p[1], "pipe, write end")
	return p[0], p[1], nil
}

func runPipe(t *T) error {
	r, w, err := t.pipe()
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(r, efd.POLLIN, func() error { return t.readBytes(r, "x") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(w, "x") })
}

func runPipeSpace(t *T) error {
	r, w, err := t.pipe()
	if err != nil {
		return err
	}
	size, err := unix.FcntlInt(uintptr(w), unix.F_SETPIPE_SZ, unix.Getpagesize())
	if err != nil {
		return callError(err, "fcntl(F_SETPIPE_SZ)")
	}
	all := strings.Repeat("x", size)
	if err := t.Do(func() error { return t.writeBytes(w, all) }); err != nil {
		return err
	}
	if err := t.WaitPpoll(w, efd.POLLOUT, nil); err != nil {
		return err
	}
	return t.Act(func() error { return t.readBytes(r, all) })
}
