//go:build linux

package perf

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/testenv"
)

// inAnother has the test binary do no more than end, or read until it is let go.
const inAnother = "EFD_TEST_ANOTHER"

// another is a process that ends at once, or reads its standard input.
func another(does string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), inAnother+"="+does)
	return cmd
}

// TestAnotherProcess: a process that began after the followed one of its number
// had ended is another; one whose first thread alone has ended is not, nor is
// what a thread does right after the record of its end.
func TestAnotherProcess(t *testing.T) {
	if testenv.Emulated() {
		t.Skip("qemu-user cannot start a program")
	}
	cmd := another("read")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, cmd)
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	pid, now := cmd.Process.Pid, source.Now()
	begin, err := began(pid)
	if second := int64(time.Second); err != nil || begin > now || begin < now-10*second {
		t.Fatalf("it began at %d (%v), and now it is %d", begin, err, now)
	}
	const minute = int64(time.Minute)
	for _, c := range []struct {
		what    string
		pid     int
		end, at int64
		want    bool
	}{
		{"began later", pid, begin - minute, now, true},
		{"goes on", pid, now, now + minute, false},
		{"its last act", pid, begin - minute, begin - minute + exitGrace/2, false},
		{"gone, long after", 1 << 30, now - minute, now, true},
		{"gone, soon after", 1 << 30, now - 2*exitGrace, now, false},
	} {
		if got := (exits{c.pid: c.end}).another(c.pid, c.at); got != c.want {
			t.Errorf("%s: another = %v", c.what, got)
		}
	}
	if (exits{}).another(os.Getpid(), now) {
		t.Error("one that did not end is another")
	}
}
