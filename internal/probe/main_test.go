//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/deafen"
)

const asProbe = "EFD_TEST_PROBE"

func TestMain(m *testing.M) {
	if os.Getenv(asProbe) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// probed runs the probe, and returns the tiers that it found and what it says
// of the others.
func probed(t *testing.T, run func(*exec.Cmd) error) (found []string, missing string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asProbe+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := run(cmd); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return strings.Split(strings.TrimSpace(stdout.String()), ","), stderr.String()
}

// Each tier is found, or there is a reason.
func TestProbe(t *testing.T) {
	found, missing := probed(t, (*exec.Cmd).Run)
	for _, tier := range tiers {
		if slices.Contains(found, tier.name) == strings.Contains("\n"+missing, "\nno "+tier.name+": ") {
			t.Errorf("%s is both found and missing, or neither: %v, and\n%s", tier.name, found, missing)
		}
	}
}

// A watchpoint that opens and never fires is no watchpoint.
func TestProbeOfADeafProcessor(t *testing.T) {
	testenv.Shared(t, "watchpoints")
	found, missing := probed(t, (*exec.Cmd).Run)
	if !slices.Contains(found, "watch") {
		t.Skipf("needs watchpoints that fire: %s", missing)
	}
	deaf, missing := probed(t, deafen.Run)
	if want := slices.DeleteFunc(found, func(s string) bool { return s == "watch" }); !slices.Equal(deaf, want) {
		t.Errorf("found %v, want %v; %s", deaf, want, missing)
	}
	if !strings.Contains(missing, "no watch: stores of this program: counted 0 of 10") {
		t.Errorf("no reason in\n%s", missing)
	}
}
