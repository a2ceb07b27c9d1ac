//go:build linux

package perf

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// What ran on a CPU that came or went was not recorded, and is reported as
// lost: once in number, and for as long as the CPU runs unobserved.
func TestCPUsThatComeOrGo(t *testing.T) {
	online := []int{0, 1}
	w := &cpuWatch{open: map[int]bool{0: true, 1: true}, changed: map[int]bool{}, list: func() ([]int, error) { return online, nil }}
	at := int64(1)
	step := func(cpus []int, want ...ktrace.Loss) {
		t.Helper()
		online = cpus
		from := at
		at += cpuTick
		got := w.look(at, false)
		if len(got) != len(want) {
			t.Fatalf("with CPUs %v: %+v, want %+v", cpus, got, want)
		}
		for i, l := range got {
			if cpu, ok := OfCPU(l.Source); !ok || l.Source != want[i].Source || l.Count != want[i].Count || l.From != from || l.To != at {
				t.Errorf("with CPUs %v: %+v of CPU %d, want %+v from %d to %d", cpus, l, cpu, want[i], from, at)
			}
		}
	}
	w.looked = at
	step([]int{0, 1})
	step([]int{0}, ktrace.Loss{Source: "perf:cpu 1", Count: 1}) // it went
	step([]int{0})
	step([]int{0, 1}, ktrace.Loss{Source: "perf:cpu 1"}) // and is back, unobserved
	step([]int{0, 1, 2}, ktrace.Loss{Source: "perf:cpu 1"}, ktrace.Loss{Source: "perf:cpu 2", Count: 1})
	if w.look(at+1, false) != nil || w.look(at+1, true) == nil {
		t.Error("before its time nothing is looked at, and at the end all is")
	}
}

// A source that observes a CPU less than there are reports it.
func TestUnobservedCPUIsLost(t *testing.T) {
	s, err := Open(Config{Kinds: []ktrace.EventKind{ktrace.Waking}})
	if err != nil {
		testenv.Require(t, "perf", err)
	}
	defer s.Close()
	delete(s.cpus.open, 0)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(source.End, nil); err != nil {
		t.Fatal(err)
	}
	losses := s.Losses()
	for _, l := range losses {
		if cpu, ok := OfCPU(l.Source); ok && cpu == 0 && l.Count == 1 {
			return
		}
	}
	t.Errorf("CPU 0 went unobserved, and the losses are %+v", losses)
}

// TestNoCPUs: a mount is no remedy for a limit.
func TestNoCPUs(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{{unix.EMFILE, "raise the limit of open files"}, {unix.ENFILE, "raise the limit of open files"}, {unix.ENOENT, "mount /sys"}} {
		ae, ok := errors.AsType[*ktrace.AccessError](noCPUs(&os.PathError{Op: "open", Path: "online", Err: c.err}))
		if !ok || !strings.Contains(ae.Change, c.want) {
			t.Errorf("%v: %q, want %q", c.err, ae.Change, c.want)
		}
	}
}
