//go:build linux

package access

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
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

// TestDeliverOnABusyMachine: wakes of others fill a ring before those of the two
// threads come, which does not mean that these do not come.
func TestDeliverOnABusyMachine(t *testing.T) {
	syms, err := ksym.Load()
	testenv.Require(t, "kallsyms", err)
	testenv.Require(t, "perf", Permitted())
	done := make(chan struct{})
	ended := make(chan bool, 4)
	for range cap(ended) {
		go func() {
			for {
				select {
				case <-done:
					ended <- true
					return
				default:
					wakeEachOther()
				}
			}
		}()
	}
	defer func() {
		close(done)
		for range cap(ended) {
			testenv.Receive(t, ended, "the end of the wakes of others")
		}
	}()
	old := rings
	defer func() { rings = old }()
	self := []int{os.Getpid()}
	c := perf.Config{Symbols: syms, PIDs: self, Tasks: self, Syscalls: []int{unix.SYS_READ, unix.SYS_WRITE}, Started: true, System: []ktrace.EventKind{ktrace.Waking}, Ring: os.Getpagesize()}
	silent := false
	for range 20 {
		d, src, lost := try(c, nil)
		if src != nil {
			src.Close()
		}
		if d.Opened != nil {
			t.Fatal(d.Opened)
		}
		silent = silent || lost > 0 && !d.Waking
		rings = []int{os.Getpagesize(), os.Getpagesize()}
		if d, src = Deliver(syms, true); src != nil {
			src.Close()
		}
		if !d.Waking && !strings.Contains(fmt.Sprint(d.Missing()), "not decided") {
			t.Fatalf("of a machine that is busy is said: %v", d.Missing())
		}
	}
	if !silent {
		t.Skip("the wakes of others were too few here to fill a ring")
	}
}
