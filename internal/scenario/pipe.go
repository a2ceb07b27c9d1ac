//go:build linux

package scenario

import (
	"strings"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var pipes = []*Scenario{
	{
		Name: "pipe", System: 17, Title: "a thread sleeps in ppoll on the read end of a pipe, another writes to it",
		Source: "pipe", Branches: []string{"write"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPipe,
	},
	{
		Name: "pipe_space", System: 17, Title: "a thread sleeps in ppoll on the write end of a full pipe, another reads from it",
		Source: "pipe", Branches: []string{"read"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPipeSpace,
	},
	{
		Name: "pipe_read", System: 17, Title: "a thread sleeps in read on an empty pipe, another writes to it",
		Source: "pipe", Branches: []string{"write"}, Waiter: "read", SleepPath: "pipe", Through: []string{"sleeper"},
		run: runPipeRead,
	},
	{
		Name: "pipe_write", System: 17, Title: "a thread sleeps in write on a full pipe, another reads from it",
		Source: "pipe", Branches: []string{"read"}, Waiter: "write", SleepPath: "pipe", Through: []string{"sleeper"},
		run: runPipeWrite,
	},
	{
		Name: "pipe_close", System: 17, Title: "a thread sleeps in ppoll on a pipe, its only writer closes it: POLLHUP",
		Source: "pipe", Branches: []string{"close"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runPipeClose,
	},
}

// pipe makes a pipe on the waker's thread, one that does not block unless
// flags say otherwise.
func (t *T) pipe(flags ...int) (r, w int, err error) {
	var p [2]int
	flag, text := unix.O_CLOEXEC|unix.O_NONBLOCK, "O_CLOEXEC|O_NONBLOCK"
	if len(flags) > 0 {
		flag, text = flags[0], "O_CLOEXEC"
	}
	err = t.do(func() error { return unix.Pipe2(p[:], flag) },
		"pipe2(%v, %s)", later(func() string { return pair(p) }), text)
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

// fullPipe is a pipe of one page with no room left.
func (t *T) fullPipe(flags ...int) (r, w int, all string, err error) {
	if r, w, err = t.pipe(flags...); err != nil {
		return
	}
	size, err := unix.FcntlInt(uintptr(w), unix.F_SETPIPE_SZ, unix.Getpagesize())
	if err != nil {
		return r, w, "", callError(err, "fcntl(F_SETPIPE_SZ)")
	}
	all = strings.Repeat("x", size)
	return r, w, all, t.Do(func() error { return t.writeBytes(w, all) })
}

func runPipeSpace(t *T) error {
	r, w, all, err := t.fullPipe()
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(w, efd.POLLOUT, nil); err != nil {
		return err
	}
	return t.Act(func() error { return t.readBytes(r, all) })
}

func runPipeRead(t *T) error {
	r, w, err := t.pipe(unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	if err := t.Wait(func() error { return t.readBytes(r, "x") }, unix.SYS_READ); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(w, "x") })
}

func runPipeWrite(t *T) error {
	r, w, all, err := t.fullPipe(unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	if err := t.Wait(func() error { return t.writeBytes(w, "x") }, unix.SYS_WRITE); err != nil {
		return err
	}
	return t.Act(func() error { return t.readBytes(r, all) })
}

func runPipeClose(t *T) error {
	r, w, err := t.pipe()
	if err != nil {
		return err
	}
	err = t.Wait(func() error {
		fds := []efd.PollFD{{FD: int32(r), Events: efd.POLLIN}}
		n, err := efd.Poll(fds, efd.Forever, nil)
		return expect(err, n == 1 && fds[0].Revents == efd.POLLHUP, "ppoll gave %d and %v, want 1 and POLLHUP", n, fds[0].Revents)
	}, ppollCalls...)
	if err != nil {
		return err
	}
	return t.Act(func() error { return t.close(w) })
}
