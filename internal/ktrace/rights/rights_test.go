//go:build linux

package rights

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The kernel's own text of this process has the same capabilities and filter.
func TestOfAsProcHasIt(t *testing.T) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	seen := 0
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch value = strings.TrimSpace(value); key {
		case "CapEff":
			seen++
			want, err := strconv.ParseUint(value, 16, 64)
			if got := Of().Caps; err != nil || got != want {
				t.Errorf("capabilities %#x, want %#x (%v)", got, want, err)
			}
		case "Seccomp":
			seen++
			if got := Filtered(); got != (value != "0") {
				t.Errorf("filtered: %v, and /proc has seccomp mode %s", got, value)
			}
		}
	}
	if seen == 0 {
		t.Skip("/proc/self/status has neither CapEff nor Seccomp")
	}
}
