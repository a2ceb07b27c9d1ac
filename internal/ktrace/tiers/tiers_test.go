//go:build linux

package tiers

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

const childEnv = "EFD_TEST_PROBE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if dir != "1" {
			if err := without(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		json.NewEncoder(os.Stdout).Encode(Probe(nil, nil))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func check(t *testing.T, r *Report) {
	t.Helper()
	if r.Kernel == "" || r.Arch == "" || len(r.Tiers) != 9 || !r.Tiers[0].OK || len(r.Facts) == 0 {
		t.Errorf("%+v", r)
	}
	for _, tier := range r.Tiers {
		if tier.OK == (tier.Missing != "") || tier.OK != tier.Delivers || tier.Delivers && !tier.Opens || tier.Gives == "" {
			t.Errorf("%+v", tier)
		}
		for _, s := range []string{tier.Missing, tier.Change, tier.Gives, tier.Detail} {
			if strings.Contains(s, "\n") || strings.HasSuffix(s, ".") {
				t.Errorf("%s: %q is no clause", tier.Name, s)
			}
		}
	}
}

func TestProbe(t *testing.T) {
	r := Probe(nil, nil)
	check(t, r)
	for _, tier := range r.Tiers {
		t.Logf("%-16s %-5v %s | %s; %s", tier.Name, tier.OK, tier.Detail, tier.Missing, tier.Change)
	}
	for _, f := range r.Facts {
		t.Logf("%s: %s", f.Name, f.Value)
	}
}

// as probes as an ordinary user with the capabilities given.
func as(t *testing.T, caps ...uintptr) *Report {
	t.Helper()
	// By way of the descriptor: the directory of a test's program is its owner's alone.
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	check(t, &r)
	return &r
}

// What each set of privileges gives on a kernel with perf_event_paranoid 2
// and kptr_restrict 0 or 1, as measured.
func TestLadder(t *testing.T) {
	if r := Probe(nil, nil); os.Getuid() != 0 || !r.Tier(Payloads).OK || !r.Tier(Names).OK {
		testenv.Require(t, "perf", os.ErrPermission)
	}
	paranoid, _ := os.ReadFile("/proc/sys/kernel/perf_event_paranoid")
	if p := strings.TrimSpace(string(paranoid)); p != "2" {
		t.Skipf("kernel.perf_event_paranoid is %s: what an ordinary user may is measured for 2", p)
	}
	for _, c := range []struct {
		name string
		caps []uintptr
		ok   map[string]bool
		why  map[string]string // a word of what is missing
	}{
		{"nobody", nil, map[string]bool{OwnThreads: false, System: false, Names: false, Payloads: false, Watchpoints: false, Functions: false},
			map[string]string{OwnThreads: "paranoid", Names: "hides", Watchpoints: "root"}},
		{"CAP_PERFMON", []uintptr{unix.CAP_PERFMON}, map[string]bool{OwnSwitches: true, OwnThreads: false, System: false, Names: false, Payloads: false, Watchpoints: false},
			map[string]string{OwnThreads: "tracefs", Names: "CAP_SYSLOG"}},
		{"CAP_PERFMON and CAP_SYSLOG", []uintptr{unix.CAP_PERFMON, unix.CAP_SYSLOG}, map[string]bool{OwnSwitches: true, OwnThreads: false, Names: true, Watchpoints: false},
			map[string]string{System: "tracefs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := as(t, c.caps...)
			for name, want := range c.ok {
				if tier := r.Tier(name); tier.OK != want {
					t.Errorf("%s: %+v, want OK %v", name, tier, want)
				}
			}
			for name, word := range c.why {
				if tier := r.Tier(name); !strings.Contains(tier.Missing+" "+tier.Change, word) {
					t.Errorf("%s: %q; %q does not speak of %s", name, tier.Missing, tier.Change, word)
				}
			}
			if _, ok := r.Next(); !ok {
				t.Error("no next tier")
			}
		})
	}
}
