//go:build linux

package testenv

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExclusive(t *testing.T) {
	try := func() error {
		dir, err := ownDir()
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(dir + "/nothing.lock")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	t.Run("held", func(t *testing.T) {
		Exclusive(t, "nothing")
		if err := try(); err != syscall.EWOULDBLOCK {
			t.Errorf("a second lock: %v", err)
		}
	})
	t.Run("shared", func(t *testing.T) {
		Shared(t, "nothing")
		Shared(t, "nothing")
		if err := try(); err != syscall.EWOULDBLOCK {
			t.Errorf("a lock beside a shared one: %v", err)
		}
	})
	if err := try(); err != nil {
		t.Errorf("after the end of the test: %v", err)
	}
}

// A lock that is not given back ends the test, which says who holds it.
func TestAloneHasALimit(t *testing.T) {
	Exclusive(t, "held")
	said := saidBy(t, func(t testing.TB) { lock(t, "held", syscall.LOCK_SH, 50*time.Millisecond) })
	if !strings.HasPrefix(said, "waited 50ms for the lock ") || !strings.Contains(said, fmt.Sprintf("process %d (", os.Getpid())) {
		t.Errorf("said %q", said)
	}
}

// A directory of another user's, or one that others can open, has no locks of ours.
func TestOwnDir(t *testing.T) {
	tmp, home := t.TempDir(), t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", tmp)
	t.Setenv("HOME", home)
	name := fmt.Sprintf("/efd-test-%d", os.Geteuid())
	if dir, err := ownDir(); err != nil || dir != tmp+name {
		t.Errorf("ownDir = %q, %v", dir, err)
	}
	for what, spoil := range map[string]func(string) error{
		"open to others": func(d string) error { return os.Chmod(d, 0o755) },
		"a link":         func(d string) error { return os.Symlink(home, d) },
		"a file":         func(d string) error { return os.WriteFile(d, nil, 0o600) },
	} {
		if err := os.RemoveAll(tmp + name); err != nil {
			t.Fatal(err)
		}
		if what == "open to others" {
			os.Mkdir(tmp+name, 0o700)
		}
		if err := spoil(tmp + name); err != nil {
			t.Fatal(err)
		}
		if dir, err := ownDir(); err != nil || dir != home+name {
			t.Errorf("%s: ownDir = %q, %v", what, dir, err)
		}
	}
}
