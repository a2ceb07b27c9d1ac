//go:build linux

package access

import (
	"errors"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// What was not seen of two threads that woke each other is not there.
func TestDelivery(t *testing.T) {
	threads := []int{7, 8}
	whole := []ktrace.Frame{{Name: "try_to_wake_up"}, {Name: "eventfd_write"}, {Name: "entry_SYSCALL_64_after_hwframe"}}
	waking := ktrace.Event{Kind: ktrace.Waking, TID: 7, Target: 8, Stack: whole}
	cut, none, others := waking, waking, waking
	cut.Truncated = true
	none.Stack, none.Truncated = nil, true
	others.TID = 9
	asleep := ktrace.Event{Kind: ktrace.Switch, TID: 8, Stack: whole, Truncated: true}
	for _, c := range []struct {
		name   string
		events []ktrace.Event
		want   string // "" for all well
	}{
		{"whole", []ktrace.Event{waking}, ""},
		{"nothing", nil, "do not deliver"},
		{"of others alone", []ktrace.Event{others}, "do not deliver"},
		{"cut", []ktrace.Event{cut}, "cut at 3 frames"},
		{"asleep cut", []ktrace.Event{waking, asleep}, "cut at 3 frames"},
		{"no chain", []ktrace.Event{none}, "have no frame at all"},
	} {
		var d Delivery
		for i := range c.events {
			d.take(&c.events[i], threads)
		}
		err := d.Missing()
		if c.want == "" && err == nil {
			continue
		}
		ae, ok := errors.AsType[*ktrace.AccessError](err)
		if !ok || c.want == "" || !ae.Silent || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
