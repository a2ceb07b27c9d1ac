//go:build linux

package lab_test

import (
	"context"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// TestLacks: a source that took part in the first scenario and not in the second
// is named, with the scenario and the reason.
func TestLacks(t *testing.T) {
	testenv.Require(t, "watchpoints", open(t).Unwatched())
	testenv.Shared(t, "watchpoints")
	cpus, err := perf.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	// The events of allocations are opened after those of wakes: with some number
	// of descriptors only the latter fit.
	for more := range 7 * len(cpus) {
		l := open(t)
		if tr := trial(t, l, "ppoll"); tr.Status != lab.OK || len(l.Without()) > 0 {
			t.Skipf("the first scenario is %s without %q", tr.Status, l.Without())
		}
		tr := withFiles(t, 5*len(cpus)+more, func() *lab.Trial { return trial(t, l, "read") })
		if tr.Status != lab.OK || len(tr.Allocated) > 0 {
			continue
		}
		want := "allocations in 1 of 2 scenarios (read): too many open files"
		if got := strings.Join(l.Without(), "\n"); !strings.Contains(got, want) {
			t.Errorf("with %d descriptors: without %q, want %q", 5*len(cpus)+more, got, want)
		}
		if got := l.Tier(); !strings.Contains(got, "watchpoints") {
			t.Errorf("tier %s, though the first scenario had watchpoints", got)
		}
		return
	}
	t.Error("with no number of descriptors there are wakes and no allocations")
}

func trial(t *testing.T, l *lab.Lab, name string) *lab.Trial {
	t.Helper()
	s, err := scenario.Find(false, name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Run(context.Background(), s[0])
}

// withFiles runs a function with room for n more descriptors.
func withFiles[T any](t *testing.T, n int, run func() T) T {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(0) // the lowest free number
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	few := old
	few.Cur = uint64(fd + n)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	return run()
}
