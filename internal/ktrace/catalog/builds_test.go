//go:build linux

package catalog

import "testing"

// A compiler's effect on a build for one machine says nothing of another's.
func TestBuildsByMachine(t *testing.T) {
	const both = "x86-64: text of 6.12.117, 6.18.44; chains of 7.3.4; arm64: chains of 6.12.117"
	for _, c := range []struct{ machine, ground, want string }{
		{"x86-64", both, "x86-64: text of 6.12.117, 6.18.44; chains of 7.3.4"},
		{"arm64", both, "arm64: chains of 6.12.117"},
		{"riscv64", both, ""},
		{"x86-64", "arm64: chains of 6.12.117", ""},
		{"arm64", "arm64: chains of 6.12.117", "arm64: chains of 6.12.117"},
		{"x86-64", "text of 6.18.44", ""},
		{"x86-64", "", ""},
	} {
		if got := buildsOf(c.ground).On(c.machine).String(); got != c.want {
			t.Errorf("%q on %s: %q, want %q", c.ground, c.machine, got, c.want)
		}
	}
	if got := buildsOf(both).String(); got != "arm64: chains of 6.12.117; x86-64: text of 6.12.117, 6.18.44; chains of 7.3.4" {
		t.Errorf("all: %q", got)
	}
}
