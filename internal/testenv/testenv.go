//go:build linux

// Package testenv decides for tests whether a missing privilege or tool is a
// skip or a failure. It is a skip, with the missing thing named, unless
// EFD_REQUIRE names its tier.
package testenv

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/asleep"
)

// Require ends the test if err reports that tier is unavailable here: it skips,
// or fails if the comma-separated EFD_REQUIRE names the tier.
func Require(t testing.TB, tier string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if Required(tier) {
		t.Fatalf("%s is required by EFD_REQUIRE and missing: %v", tier, err)
	}
	t.Skipf("needs %s: %v", tier, err)
}

// Required reports whether EFD_REQUIRE names tier.
func Required(tier string) bool {
	return slices.Contains(strings.Split(os.Getenv("EFD_REQUIRE"), ","), tier)
}

// RealSpeed skips a test of how long something takes if the processor is
// emulated, as by qemu-user or if EFD_EMULATED says so: times mean nothing
// there.
func RealSpeed(t testing.TB) {
	t.Helper()
	if Slow() {
		t.Skip("measures time, and the processor is emulated")
	}
}

// Slow reports whether the processor is emulated: tests leave out repetitions
// that show nothing new.
func Slow() bool { return Emulated() || os.Getenv("EFD_EMULATED") != "" }

// Emulated reports whether qemu-user runs the program and makes its system
// calls: /proc has the numbers of another machine's.
func Emulated() bool { return asleep.Foreign() }
