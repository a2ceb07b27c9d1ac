package testenv

import (
	"os"
	"syscall"
	"testing"
)

func TestAlone(t *testing.T) {
	try := func() error {
		f, err := os.Open(os.TempDir() + "/efd-test-nothing.lock")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	t.Run("held", func(t *testing.T) {
		Alone(t, "nothing")
		if err := try(); err != syscall.EWOULDBLOCK {
			t.Errorf("a second lock: %v", err)
		}
	})
	t.Run("shared", func(t *testing.T) {
		Beside(t, "nothing")
		Beside(t, "nothing")
		if err := try(); err != syscall.EWOULDBLOCK {
			t.Errorf("a lock beside a shared one: %v", err)
		}
	})
	if err := try(); err != nil {
		t.Errorf("after the end of the test: %v", err)
	}
}
