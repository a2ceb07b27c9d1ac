//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var memcgs = []*Scenario{
	{
		Name: "memcg", System: 17, Title: "a thread sleeps in ppoll on an eventfd of cgroup.event_control, a process passes the threshold of memory",
		Source: "memcg", Branches: []string{"threshold"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "eventfd_signal", "ppoll", "poll_wake"},
		run: runMemcg,
	},
}

// memcgMount finds where the memory controller of cgroup v1 is mounted.
func memcgMount() (string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		before, after, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(before), strings.Fields(after)
		if ok && len(l) > 4 && len(r) > 2 && r[0] == "cgroup" && slices.Contains(strings.Split(r[2], ","), "memory") {
			return l[4], nil
		}
	}
	return "", Skip("cgroup.event_control: the memory controller is not mounted as cgroup v1")
}

// memcgGroup makes a control group of our own.
func (t *T) memcgGroup() (string, error) {
	mount, err := memcgMount()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(mount, fmt.Sprintf("efd-%d-", os.Getpid()))
	if err != nil {
		return "", Skip("cgroup.event_control: a group cannot be made: %v", err)
	}
	t.Cleanup(func() { unix.Rmdir(dir) })
	if _, err := os.Stat(filepath.Join(dir, "cgroup.event_control")); err != nil {
		return "", Skip("cgroup.event_control: %v", err)
	}
	return dir, nil
}

func runMemcg(t *T) error {
	const threshold, size = 1 << 20, 4 << 20
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	dir, err := t.memcgGroup()
	if err != nil {
		return err
	}
	// Untouched pages: their first user is charged for them.
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return callError(err, "mmap")
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	c, err := t.Child(step{nr: unix.SYS_MLOCK, args: [6]uintptr{uintptr(unsafe.Pointer(&mem[0])), size}, report: 1})
	if err != nil {
		return err
	}
	usage, err := t.Open("memory.usage_in_bytes", func() (int, error) {
		return unix.Open(filepath.Join(dir, "memory.usage_in_bytes"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}, "openat(AT_FDCWD, %q, O_RDONLY|O_CLOEXEC)", filepath.Join(dir, "memory.usage_in_bytes"))
	if err != nil {
		return err
	}
	err = t.Do(func() error {
		return errors.Join(
			t.writeFile(filepath.Join(dir, "cgroup.procs"), fmt.Sprint(c.pid)),
			t.writeFile(filepath.Join(dir, "cgroup.event_control"), fmt.Sprintf("%d %d %d", e.FD(), usage, threshold)))
	})
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLIN, nil); err != nil {
		return err
	}
	t.res.Waker = c.pid
	if err := t.Act(c.proceed); err != nil {
		return err
	}
	_, err = c.next()
	return callError(err, "mlock")
}

// writeFile writes to a control file.
func (t *T) writeFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.writeBytes(int(f.Fd()), text)
}
