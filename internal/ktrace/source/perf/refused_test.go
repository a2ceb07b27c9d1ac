//go:build linux

package perf

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/rights"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/deafen"
	"golang.org/x/sys/unix"
)

const beTry = "EFD_TEST_PERF_TRY"

func init() {
	if os.Getenv(beTry) != "" {
		fmt.Println(Try(Want{Switch: true}))
		os.Exit(0)
	}
}

// Each refusal is called by its cause, and its change helps against that one.
func TestWhy(t *testing.T) {
	bits := func(caps ...int) (b uint64) {
		for _, c := range caps {
			b |= 1 << c
		}
		return b
	}
	for _, c := range []struct {
		name            string
		p               rights.Privileges
		paranoid        string
		missing, change string
	}{
		{"nobody", rights.Privileges{}, "2", "kernel.perf_event_paranoid is 2", "run as root, or give the process CAP_PERFMON"},
		{"nobody, 4", rights.Privileges{}, "4", "kernel.perf_event_paranoid is 4", "CAP_PERFMON and set kernel.perf_event_paranoid to 2"},
		{"CAP_PERFMON, 3", rights.Privileges{Caps: bits(unix.CAP_PERFMON)}, "3", "CAP_PERFMON is not enough", "set kernel.perf_event_paranoid to 2"},
		{"root of a user namespace", rights.Privileges{Caps: ^uint64(0), UserNamespace: true}, "2", "user namespace", "run in the initial user namespace"},
	} {
		missing, change, _ := why("an event", c.p, c.paranoid)
		if !strings.Contains(missing, c.missing) || !strings.Contains(change, c.change) || strings.Contains(missing+change, "security module") {
			t.Errorf("%s: %s; %s", c.name, missing, change)
		}
	}
}

// What a seccomp filter refuses is not laid to the kernel's privileges.
func TestFiltered(t *testing.T) {
	if testenv.Emulated() {
		t.Skip("under qemu-user the kernel runs no program of this architecture")
	}
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSYS, unix.EACCES} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), beTry+"=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		err := deafen.Filter{Refuse: map[int]unix.Errno{unix.SYS_PERF_EVENT_OPEN: errno}}.Start(cmd)
		if err == nil {
			testenv.Ends(t, cmd, "the trial")
			err = cmd.Wait()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.HasPrefix(got, "a seccomp filter refuses perf_event_open") {
			t.Errorf("%v: %s", errno, got)
		}
	}
}

// TestNoRings: one ring is not several.
func TestNoRings(t *testing.T) {
	for n, want := range map[int]string{1: "for 1 perf ring:", 4: "for 4 perf rings:"} {
		if got := noRings(n, unix.EPERM).Error(); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
