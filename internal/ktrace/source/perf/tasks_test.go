//go:build linux

package perf

import (
	"math"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
)

// A task that has ended still wakes its parent: it keeps its name for that, and
// its number, which the kernel has taken out of the head of its records. A task
// that gets the same number later has another name.
func TestLastActs(t *testing.T) {
	const parent, child = math.MaxInt32 - 1, math.MaxInt32 // no task of this machine
	tasks := newTasks()
	tasks.initial = true
	tasks.named(parent, []byte("sh"))
	tasks.apply(&ktrace.Event{Kind: kindFork, PID: child, TID: child, Target: parent, Time: 1e9})
	tasks.apply(&ktrace.Event{Kind: kindExit, PID: child, TID: child, Time: 2e9})
	if got := tasks.name(child, 2e9+1e6); got != "sh" {
		t.Errorf("a task that has just ended is called %q, want sh", got)
	}
	if got := tasks.name(child, 2e9+int64(time.Second)); got != "" {
		t.Errorf("a task a second later is called %q, want none", got)
	}
	delete(tasks.comm, parent)
	tasks.apply(&ktrace.Event{Kind: kindFork, PID: child, TID: child, Target: parent, Time: 2e9 + 1e6})
	if got := tasks.name(child, 2e9+2e6); got != "" {
		t.Errorf("a new task of that number is called %q, want none", got)
	}

	wake := &ktrace.Event{TID: -1}
	if tasks.buried(child, wake); wake.TID != child {
		t.Errorf("the thread that is being buried is %d, want %d", wake.TID, child)
	}
	tasks.initial, wake.TID = false, -1
	if tasks.buried(child, wake); wake.TID != -1 {
		t.Errorf("in another namespace it is %d, want none", wake.TID)
	}
	tasks.sameTask(child, 7)
	if tasks.buried(child, wake); wake.TID != 7 {
		t.Errorf("in another namespace it is %d, want 7", wake.TID)
	}
}
