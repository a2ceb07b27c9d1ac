//go:build linux

package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Exclusive lets no other test of this user that takes the same lock run until
// t ends. It is for scarce resources of the machine, such as the processor's
// watchpoints: packages are tested in parallel.
func Exclusive(t testing.TB, thing string) {
	t.Helper()
	lock(t, thing, syscall.LOCK_EX, 3*Limit())
}

// Shared is Alone for a test that uses some of the thing and can do without:
// others like it may run at the same time.
func Shared(t testing.TB, thing string) {
	t.Helper()
	lock(t, thing, syscall.LOCK_SH, 3*Limit())
}

func lock(t testing.TB, thing string, how int, limit time.Duration) {
	t.Helper()
	dir, err := ownDir()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, thing+".lock"), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() { got <- flock(f, how) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-got:
		t.Cleanup(func() { f.Close() })
		if err != nil {
			t.Fatalf("flock %s: %v", f.Name(), err)
		}
	case <-timer.C:
		go func() { <-got; f.Close() }() // a lock that comes too late is released
		t.Fatalf("waited %v for the lock %s, held by %s", limit, f.Name(), holders(f))
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); err != syscall.EINTR {
			return err
		}
	}
}

// ownDir is a directory that no other user can write to, nor open a file of.
func ownDir() (string, error) {
	name := fmt.Sprintf("efd-test-%d", os.Geteuid())
	var errs []error
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), os.Getenv("HOME")} {
		if base == "" {
			continue
		}
		dir := filepath.Join(base, name)
		err := os.Mkdir(dir, 0o700)
		if err == nil || errors.Is(err, os.ErrExist) {
			err = isOwn(dir)
		}
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func isOwn(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is not a directory of user %d's alone: %v, user %d", dir, os.Geteuid(), info.Mode(), st.Uid)
	}
	return nil
}

// holders names the processes that hold a lock on the file, as /proc/locks does.
func holders(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		return err.Error()
	}
	inode := fmt.Sprintf(":%d", info.Sys().(*syscall.Stat_t).Ino)
	var names []string
	for line := range strings.Lines(string(b)) {
		// 1: FLOCK  ADVISORY  WRITE 708 fe:00:131083 0 EOF; a waiter has "->"
		// as the second field.
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
			cmd, _ := os.ReadFile("/proc/" + f[4] + "/cmdline")
			names = append(names, fmt.Sprintf("process %s (%s)", f[4], strings.ReplaceAll(strings.TrimRight(string(cmd), "\x00"), "\x00", " ")))
		}
	}
	if len(names) == 0 {
		return "nobody that /proc/locks names"
	}
	return strings.Join(names, ", ")
}
