//go:build linux

package access

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// Of a CPU that is never idle doctor does not know, and says so.
func TestBlindBusy(t *testing.T) {
	if r := Probe(nil); !r.Tier(System).OK {
		testenv.Require(t, "perf", os.ErrPermission)
	}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	busy := 0
	for !all.IsSet(busy) {
		busy++
	}
	var stop atomic.Bool
	ended, runs := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine, and its CPU mask with it
		var one unix.CPUSet
		one.Set(busy)
		err := unix.SchedSetaffinity(0, &one)
		close(runs)
		for !stop.Load() && err == nil {
		}
		ended <- err
	}()
	testenv.Receive(t, runs, "the busy thread")
	blind, undecided, err := Blind()
	text := blindText()
	stop.Store(true)
	if e := testenv.Receive(t, ended, "the end of the busy thread"); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if slices.Contains(blind, busy) || !slices.Contains(undecided, busy) {
		t.Errorf("CPU %d was busy: blind %v, undecided %v", busy, blind, undecided)
	}
	if !strings.Contains(text, "not decided") {
		t.Errorf("doctor says %q", text)
	}
}
