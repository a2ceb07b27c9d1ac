//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
	"golang.org/x/sys/unix"
)

// setup mounts the file systems that every Linux system has and brings the
// loopback up. Tracefs stays unmounted, as on a host: its users have to mount
// it.
func setup() error {
	for _, m := range []struct{ target, fstype, data string }{
		{"/proc", "proc", ""}, {"/sys", "sysfs", ""}, {"/dev", "devtmpfs", ""},
		{"/dev/pts", "devpts", "ptmxmode=0666,mode=0620"}, {"/dev/shm", "tmpfs", ""}, {"/tmp", "tmpfs", "mode=1777"},
		{"/sys/fs/cgroup", "tmpfs", ""},
	} {
		os.MkdirAll(m.target, 0o755)
		err := unix.Mount(m.fstype, m.target, m.fstype, unix.MS_NOSUID, m.data)
		if err != nil && !errors.Is(err, unix.EBUSY) { // EBUSY: the kernel mounts devtmpfs by itself
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	// The memory controller of cgroup v1 is the one that signals eventfds; 6.12 and later may lack it.
	os.Mkdir("/sys/fs/cgroup/memory", 0o755)
	if err := unix.Mount("cgroup", "/sys/fs/cgroup/memory", "cgroup", 0, "memory"); err != nil {
		os.Remove("/sys/fs/cgroup/memory")
	}
	for link, target := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
		os.Symlink(target, link)
	}
	// Debian sets 3, which keeps even CAP_PERFMON out.
	if err := os.WriteFile("/proc/sys/kernel/perf_event_paranoid", []byte("2"), 0); err != nil {
		return err
	}
	// A limit as login sessions have it: tests reach for many descriptors.
	unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 16, Max: 1 << 19})
	return loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}

// loadModules loads the modules of a directory in the order of their names,
// and those whose symbols were not there yet once more. It returns those that
// stayed out.
func loadModules(dir string) []string {
	left, _ := filepath.Glob(filepath.Join(dir, "*.ko"))
	for {
		var again, notes []string
		for _, name := range left {
			if err := loadModule(name); err != nil && !errors.Is(err, unix.EEXIST) {
				again = append(again, name)
				notes = append(notes, fmt.Sprintf("%s: %v", filepath.Base(name), err))
			}
		}
		if len(again) == 0 || len(again) == len(left) {
			return notes
		}
		left = again
	}
}

func loadModule(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// openPort waits for the virtio port that carries the results.
func openPort(limit time.Duration) (*os.File, error) {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if b, _ := os.ReadFile(n); strings.TrimSpace(string(b)) == wire.Port {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_WRONLY, 0)
			}
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("no virtio port named %s after %v", wire.Port, limit)
		}
	}
}
