//go:build linux

package tiers

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

const beBusy = "EFD_TEST_BUSY"

var busy int

func init() {
	if os.Getenv(beBusy) != "" {
		os.Stdout.WriteString("b")
		for i := 0; ; i++ {
			busy = i
		}
	}
}

// Of a CPU that is never idle doctor does not know, and says so.
func TestBlindBusy(t *testing.T) {
	if r := Probe(nil, nil); !r.Tier(System).OK {
		testenv.Require(t, "perf", os.ErrPermission)
	}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	busy := 0
	for !all.IsSet(busy) {
		busy++
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), beBusy+"=1", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1") // it never sleeps
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // Pdeathsig looks at the thread
	defer runtime.UnlockOSThread()
	testenv.Start(t, cmd)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var one unix.CPUSet
	one.Set(busy)
	if err := unix.SchedSetaffinity(cmd.Process.Pid, &one); err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 1)) // its begin
	blind, undecided, err := SilentCPUs()
	text := silentText()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(blind, busy) || !slices.Contains(undecided, busy) {
		t.Errorf("CPU %d was busy: blind %v, undecided %v", busy, blind, undecided)
	}
	if !strings.Contains(text, "not decided") {
		t.Errorf("doctor says %q", text)
	}
}
