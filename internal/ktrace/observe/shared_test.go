//go:build linux

package observe

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A caller may append to what the model answers: the next answer is the same.
func TestModelIsNotAppendedTo(t *testing.T) {
	without := func() []string { return NotWoken("eventfd_write", "", []string{"vhost_poll_wakeup"}) }
	paths := func() []string { return SleepPaths("ppoll", nil) }
	for name, answer := range map[string]func() []string{"NotWoken": without, "SleepPaths": paths} {
		first := answer()
		if len(first) == 0 {
			t.Errorf("%s has no answer", name)
		}
		want := append(slices.Clone(first), "one")
		got := append(first, "one")
		_ = append(answer(), "two")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s is shared (-want +got):\n%s", name, d)
		}
	}
}
