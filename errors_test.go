package efd_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
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
		"FromFD": {func() error { _, err := efd.FromFD(gone); return err }, unix.EBADF, fmt.Sprintf("fd %d: want an open descriptor: fcntl", gone)},
		"Select": {func() error { _, err := efd.Select(setOf(e.FD()), setOf(gone), nil, 0, nil); return err }, unix.EBADF, fmt.Sprintf("fd %d in a set", gone)},
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
