//go:build linux

package running

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// The version is that of the kernel, whatever uname shows of it to a program.
func TestRunning(t *testing.T) {
	if os.Getenv("EFD_RUNNING") != "" {
		release, v, err := Kernel()
		if err != nil {
			t.Fatal(err)
		}
		os.Stderr.WriteString(release + " " + v.String() + "\n")
		return
	}
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Skip(err)
	}
	want := strings.TrimSpace(string(b))
	for _, wrapper := range [][]string{nil, {"setarch", "--uname-2.6"}} {
		if wrapper != nil {
			if _, err := exec.LookPath(wrapper[0]); err != nil {
				t.Skipf("%s is not installed (util-linux)", wrapper[0])
			}
		}
		args := append(wrapper, os.Args[0], "-test.run=^TestRunning$")
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "EFD_RUNNING=1")
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.ENOEXEC) {
			t.Skip("qemu-user cannot start a program")
		}
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		release, version, _ := strings.Cut(line, " ")
		v, err := ktrace.ParseVersion(release)
		if err != nil || release != want || !strings.HasPrefix(version, v.Series()) {
			t.Errorf("%v: release %q, version %q; want that of %q", wrapper, release, version, want)
		}
	}
}
