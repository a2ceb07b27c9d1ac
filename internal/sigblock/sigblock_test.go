//go:build linux

package sigblock

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// blocked is what the kernel says of the thread's mask.
func blocked(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if mask, ok := strings.CutPrefix(l, "SigBlk:"); ok {
			return strings.TrimSpace(mask)
		}
	}
	t.Fatalf("no SigBlk in %s", b)
	return ""
}

func TestAll(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := blocked(t)
	restore, err := All()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGURG); err != nil {
		t.Error(err)
	}
	during := blocked(t)
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	// SIGKILL and SIGSTOP cannot be blocked.
	if want := "fffffffffffbfeff"; !strings.HasSuffix(during, want) || during == before {
		t.Errorf("blocked were %s, want %s; before %s", during, want, before)
	}
	if after := blocked(t); after != before {
		t.Errorf("restored %s, want %s", after, before)
	}
}
