//go:build linux

package scenario

import (
	"os"
	"path/filepath"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var inotifies = []*Scenario{
	{
		Name: "inotify", System: 17, Title: "a thread sleeps in ppoll on an inotify descriptor, a watched file is written to",
		Source: "inotify", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"ppoll", "poll_wake"},
		run: runInotify,
	},
}

func runInotify(t *T) error {
	dir, err := os.MkdirTemp("", "efd-inotify-")
	if err != nil {
		return Skip("inotify: a file to watch cannot be made: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "watched")
	file, err := t.Open("file", func() (int, error) { return unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600) },
		"openat(AT_FDCWD, %q, O_WRONLY|O_CREAT|O_CLOEXEC, 0600)", name)
	if err != nil {
		return err
	}
	fd, err := t.Open("inotify", func() (int, error) { return unix.InotifyInit1(unix.IN_CLOEXEC) }, "inotify_init1(IN_CLOEXEC)")
	if err != nil {
		return err
	}
	err = t.do(func() error { _, err := unix.InotifyAddWatch(fd, name, unix.IN_MODIFY); return err },
		"inotify_add_watch(%d, %q, IN_MODIFY)", fd, name)
	if err != nil {
		return err
	}
	err = t.WaitPpoll(fd, efd.POLLIN, func() error {
		b := make([]byte, unix.SizeofInotifyEvent+unix.NAME_MAX+1)
		n, err := unix.Read(fd, b)
		return expect(err, n >= unix.SizeofInotifyEvent, "read gave %d bytes, want an event", n)
	})
	if err != nil {
		return err
	}
	return t.Act(func() error { return t.writeBytes(file, "x") })
}
