package testenv

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Alone lets no other test of this machine that asks for the same thing run
// until t ends. It is for what the machine has few of, such as the
// processor's watchpoints: packages are tested at the same time.
func Alone(t testing.TB, thing string) {
	t.Helper()
	lock(t, thing, syscall.LOCK_EX)
}

// Beside is Alone for a test that uses some of the thing and can do without:
// others like it may run at the same time.
func Beside(t testing.TB, thing string) {
	t.Helper()
	lock(t, thing, syscall.LOCK_SH)
}

func lock(t testing.TB, thing string, how int) {
	t.Helper()
	path := filepath.Join(os.TempDir(), "efd-test-"+thing+".lock")
	// Not with O_CREAT at once: fs.protected_regular refuses that for another
	// user's file, to root too.
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		f, err = os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err == nil {
			return
		}
		if err != syscall.EINTR {
			t.Fatalf("flock %s: %v", path, err)
		}
	}
}
