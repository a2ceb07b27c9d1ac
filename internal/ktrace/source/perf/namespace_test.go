//go:build linux

package perf

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

const inNamespace = "EFD_TEST_PID_NAMESPACE"

func TestMain(m *testing.M) {
	switch os.Getenv(inAnother) {
	case "end":
		return
	case "read":
		io.Copy(io.Discard, os.Stdin)
		return
	}
	if os.Getenv(inNamespace) != "" {
		// A /proc of the new namespace, which nobody else sees.
		err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err == nil {
			err = unix.Mount("proc", "/proc", "proc", 0, "")
		}
		if err != nil {
			fmt.Println("no /proc in the namespace:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// In a PID namespace of their own the threads have other numbers than in the
// kernel's records; a wake still names both.
func TestPIDNamespace(t *testing.T) {
	runtime.LockOSThread() // Pdeathsig looks at the thread
	defer runtime.UnlockOSThread()
	if os.Getenv(inNamespace) != "" {
		t.Skip("in it already")
	}
	open(t, Config{}).Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^(TestSystem|TestTasks)$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		testenv.Require(t, "namespaces", err)
	}
	if err != nil || strings.Count(string(out), "--- PASS") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

const besideProc = "EFD_TEST_OTHER_PROC"

// TestOtherProc: with the /proc of another PID namespace, where a PID is
// another process's, nothing is observed that would be attributed to it.
func TestOtherProc(t *testing.T) {
	if os.Getenv(besideProc) != "" {
		s, err := Open(Config{Tasks: []int{os.Getpid()}})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "/proc is not that of this PID namespace") {
			t.Errorf("%v", err)
		}
		return
	}
	runtime.LockOSThread() // Pdeathsig looks at the thread
	defer runtime.UnlockOSThread()
	open(t, Config{}).Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOtherProc$", "-test.v")
	cmd.Env = append(os.Environ(), besideProc+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		testenv.Require(t, "namespaces", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}
