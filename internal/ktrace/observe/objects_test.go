//go:build linux

package observe

import (
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// TestNumberOfAnotherProcess: what was known of a process's descriptors is not
// said of the process that gets its number next, nor the other way round.
func TestNumberOfAnotherProcess(t *testing.T) {
	var fds [2]int
	for i := range fds {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	pid, now := os.Getpid(), int64(0)
	o := newObjects("amd64", func() int64 { return now })
	now = 10
	first := o.ask(pid, pid, fds[0], now)
	name := first.name(100)
	if !strings.HasPrefix(name, "eventfd ") {
		t.Fatalf("an eventfd is called %q", name)
	}
	// The process ends unseen, and at 20 another with another eventfd there has
	// its number.
	if err := unix.Dup3(fds[1], fds[0], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	o.event(&ktrace.Event{Kind: ktrace.Started, PID: pid, TID: pid, Time: 20})
	now = 30
	second := o.ask(pid, pid, fds[0], now)
	if second == first {
		t.Fatalf("the descriptor of the second process is that of the first, %s", name)
	}
	if got := first.name(100); got != name {
		t.Errorf("of the first process was known: %q, and then: %q", name, got)
	}
	// A third began at 25, before the answer that was to be about the second.
	o.event(&ktrace.Event{Kind: ktrace.Started, PID: pid, TID: pid, Time: 35})
	third := o.ask(pid, pid, fds[0], now)
	now = 50
	o.event(&ktrace.Event{Kind: ktrace.Started, PID: pid, TID: pid, Time: 29})
	if got := third.name(100); got != "" {
		t.Errorf("%q is said of a process that may have been gone when it was asked", got)
	}
}
