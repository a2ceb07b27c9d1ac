//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

const asMain = "EFD_TEST_ADVERSARY"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Who interrupts an attack is shown what it came to.
func TestInterrupted(t *testing.T) {
	none, err := exec.LookPath("true")
	if err != nil {
		t.Skip("needs a command true: ", err)
	}
	if _, err := os.Stat("../../testdata/recordings"); err != nil {
		t.Skip("needs the recordings of a clone: ", err)
	}
	cmd := exec.Command("/proc/self/exe", "-efdtrace", none, "-only", "mutants", "-mutants", "1000000")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), asMain+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	testenv.Start(t, cmd)
	testenv.Until(t, "a first command of the attack", func() bool { return children(cmd.Process.Pid) })
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Error(err)
	}
	cmd.Wait()
	if s := cmd.ProcessState.ExitCode(); s != 128+int(unix.SIGINT) || !strings.Contains(out.String(), "interrupted in mutants after ") || !strings.Contains(out.String(), " broke\n") {
		t.Errorf("status %d\n%.2000s", s, out.String())
	}
}

// children reports whether a process has started others.
func children(pid int) bool {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name())); len(b) > 0 {
			return true
		}
	}
	return false
}
