//go:build linux

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

// TestTimeNamespace: the kernel's records have its own CLOCK_MONOTONIC, and a
// process in a time namespace has another.
func TestTimeNamespace(t *testing.T) {
	needPerf(t)
	for _, offset := range []string{"100000", "-7"} {
		namespace := []string{"unshare", "--time", "--monotonic=" + offset, "--boottime=" + offset, "--fork", "--"}
		if out, err := exec.Command(namespace[0], append(namespace[1:], "true")...).CombinedOutput(); err != nil {
			t.Logf("%s", out)
			testenv.Require(t, "namespaces", err)
		}
		inside := func(program string, args ...string) (status int, stdout, stderr string) {
			cmd := efdtrace(t, program)
			outside := exec.Command(namespace[0], append(append(namespace[1:], os.Args[0]), args...)...)
			outside.Env = cmd.Env
			return ended(t, outside)
		}
		if status, out, stderr := inside("", "verify", "-no-tracer", "ppoll", "timeout_ppoll"); status != exitOK || strings.Contains(out, "\ninconclusive") {
			t.Errorf("%s: status %d of verify:\n%s%s", offset, status, out, stderr)
		}
		_, out, stderr := inside("pingpong 50ms", "run", "--", os.Args[0])
		if !strings.Contains(out, " woke ") || strings.Contains(out, "lost") {
			t.Errorf("%s: run says\n%s%s", offset, out, stderr)
		}
	}
}
