//go:build linux

package scenario

import (
	"errors"
	"fmt"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var ptys = []*Scenario{
	{
		Name: "pty", System: 15, Title: "a thread sleeps in ppoll on a terminal, a line is typed at the other end of the pty",
		Source: "pty", Branches: []string{"canonical"}, Waiter: "ppoll", Through: []string{"poller"}, Context: "kworker", Paths: []string{"ppoll", "poll_wake"},
		run: runPTY,
	},
	{
		Name: "pty_raw", System: 15, Title: "a thread sleeps in ppoll on a terminal in raw mode, a character is typed at the other end of the pty",
		Source: "pty", Branches: []string{"raw"}, Waiter: "ppoll", Through: []string{"poller"}, Context: "kworker", Paths: []string{"ppoll", "poll_wake"},
		run: runPTYRaw,
	},
}

// openPTY opens a pty: the master, and the terminal that programs see.
func (t *T) openPTY() (master, tty int, err error) {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	master, err = t.Open("pty master", func() (int, error) { return unix.Open("/dev/ptmx", flags, 0) },
		`openat(AT_FDCWD, "/dev/ptmx", O_RDWR|O_NOCTTY|O_CLOEXEC)`)
	if err != nil {
		return -1, -1, Skip("a pty: /dev/ptmx: %v", errors.Unwrap(err))
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, -1, callError(err, "ioctl(TIOCSPTLCK)")
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return -1, -1, callError(err, "ioctl(TIOCGPTN)")
	}
	// By the master and not by a name: /dev/pts may be another mount than the
	// one that the master is of.
	tty, err = t.Open(fmt.Sprintf("terminal pts/%d", n), func() (int, error) {
		fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
		return result(fd, errno)
	}, "ioctl(%d, TIOCGPTPEER, O_RDWR|O_NOCTTY|O_CLOEXEC)", master)
	return master, tty, err
}

func runPTY(t *T) error {
	master, tty, err := t.openPTY()
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(tty, efd.POLLIN, func() error { return t.readBytes(tty, "x\n") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(master, "x\n") })
}

// runPTYRaw: without line discipline, typed characters are readable
// immediately.
func runPTYRaw(t *T) error {
	master, tty, err := t.openPTY()
	if err != nil {
		return err
	}
	mode, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	if err != nil {
		return callError(err, "ioctl(TCGETS)")
	}
	mode.Lflag &^= unix.ICANON | unix.ECHO
	err = t.do(func() error { return unix.IoctlSetTermios(tty, unix.TCSETS, mode) }, "ioctl(%d, TCSETS, {c_lflag&~(ICANON|ECHO)})", tty)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(tty, efd.POLLIN, func() error { return t.readBytes(tty, "x") }); err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(master, "x") })
}
