//go:build linux

package efd_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/deafen"
)

const onSilent = "EFD_TEST_OBSERVE_SILENT"

// On a processor whose watchpoints open and never fire an observation says so,
// and who waits for the first change of an eventfd learns that there is none.
func TestObserveSilentProcessor(t *testing.T) {
	if os.Getenv(onSilent) != "" {
		o := startObserve(t, efd.WatchEventfds())
		fd := observedFD(t)
		for range 100 {
			if err := fd.Write(0); err != nil {
				t.Error(err)
			}
		}
		r, err := o.Stop()
		if err != nil || len(r.Changes) != 0 || len(r.Unobservable) != 1 || !strings.Contains(r.Unobservable[0], "changes of eventfds: watchpoints open, and do not deliver") {
			t.Errorf("%d changes, unobservable %q, %v", len(r.Changes), r.Unobservable, err)
		}
		return
	}
	if os.Geteuid() != 0 {
		testenv.Require(t, "watch", os.ErrPermission)
	}
	startObserve(t).Stop()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestObserveSilentProcessor$", "-test.v")
	cmd.Env = append(os.Environ(), onSilent+"=1", "EFD_REQUIRE=perf,kallsyms,tracefs,watch")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := deafen.Start(cmd)
	if err == nil {
		testenv.Ends(t, cmd, "an observation on a silent processor")
		err = cmd.Wait()
	}
	if err != nil || !strings.Contains(out.String(), "--- PASS: TestObserveSilentProcessor") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
