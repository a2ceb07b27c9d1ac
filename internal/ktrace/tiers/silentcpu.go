//go:build linux

package tiers

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"golang.org/x/sys/unix"
)

// SilentCPUs lists the CPUs for whose idle task the kernel writes no records,
// as perf.Source.SilentCPUs does, and the undecided ones, which were kept busy.
// It gives each CPU some milliseconds to be idle.
func SilentCPUs() (blind, undecided []int, err error) {
	s, err := perf.Open(perf.Config{Kinds: []ktrace.EventKind{ktrace.Switch}})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	const tries = 3
	for try := 0; try == 0 || try < tries && len(undecided) > 0; try++ {
		done := make(chan error)
		go func() {
			// The thread ends with this goroutine, and its CPU mask with it.
			runtime.LockOSThread()
			done <- idleOn(undecided)
		}()
		if err := <-done; err != nil {
			return nil, nil, err
		}
		if _, err := s.Read(source.Now(), nil); err != nil {
			return nil, nil, err
		}
		undecided = s.Undecided()
	}
	return s.SilentCPUs(), undecided, nil
}

// idleOn sleeps for short times on each of the CPUs in turn, or on every one that
// this process may use.
func idleOn(cpus []int) error {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	const most = 64 // more would take too long
	for cpu, n := 0, 0; cpu < len(all)*64 && n < most; cpu++ {
		if !all.IsSet(cpu) || cpus != nil && !slices.Contains(cpus, cpu) {
			continue
		}
		n++
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return err
		}
		for range 16 {
			ts := unix.NsecToTimespec(int64(200 * time.Microsecond))
			unix.Nanosleep(&ts, nil)
		}
	}
	return nil
}

func silentText() string {
	blind, undecided, err := SilentCPUs()
	if err != nil {
		return ""
	}
	var parts []string
	if len(blind) > 0 {
		parts = append(parts, fmt.Sprintf("the kernel writes no records of events on CPU %v while it is idle, so a wake by an interrupt there cannot be seen; it stays so until the next boot", blind))
	}
	if len(undecided) > 0 {
		parts = append(parts, fmt.Sprintf("not decided whether the kernel writes records of events on CPU %v while it is idle: it was busy, or this process may not use it", undecided))
	}
	return strings.Join(parts, "; ")
}
