//go:build linux

package watch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/deafen"
)

const beProbe = "EFD_TEST_WATCH_PROBE"

func init() {
	if os.Getenv(beProbe) == "" {
		return
	}
	err := Probe()
	ae, ok := errors.AsType[*ktrace.AccessError](err)
	fmt.Printf("%t %v", ok && ae.Silent, err)
	os.Exit(0)
}

// probed is what Probe says in a process under a filter.
func probed(t *testing.T, f deafen.Filter) string {
	t.Helper()
	if testenv.Emulated() {
		t.Skip("under qemu-user the kernel runs no program of this architecture")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), beProbe+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := f.Start(cmd); err != nil {
		t.Fatal(err)
	}
	testenv.Ends(t, cmd, "the probe")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A processor whose watchpoints open and never fire has none.
func TestProbeSilent(t *testing.T) {
	if os.Geteuid() != 0 {
		testenv.Require(t, "watch", os.ErrPermission)
	}
	// Where watchpoints are in use, or the kernel has none, its filter hides that.
	if got := probed(t, deafen.Filter{Deaf: true}); !strings.HasPrefix(got, "true watchpoints open, and do not deliver") {
		t.Errorf("of a processor that is silent Probe says %q", got)
	}
}

// Two watchpoints that are left are enough, and one is not.
func TestProbeWantsTwo(t *testing.T) {
	alone.Do(t)
	testenv.Require(t, "watch", Probe())
	const registers = 4
	for held := range registers + 1 {
		if held > 0 {
			rings := perf.NewRings(os.Getpagesize(), perf.NewStacks(nil))
			defer rings.Close()
			if _, err := rings.Add(breakpoint(^uint64(0)&^0xfff, 8, nil), -1, 0, false); err != nil {
				t.Skipf("this processor has fewer than %d watchpoints: %v", held, err)
			}
		}
		err := Probe()
		if held > registers-2 != (err != nil) {
			t.Errorf("with %d of %d in use: %v", held, registers, err)
		}
	}
}
