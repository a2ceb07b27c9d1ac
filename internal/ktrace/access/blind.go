//go:build linux

package access

import (
	"fmt"
	"runtime"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"golang.org/x/sys/unix"
)

// Blind lists the CPUs of whose idle task the kernel leaves no records, as
// perf.Source.Blind does. It makes each CPU idle for some milliseconds; a CPU
// that others keep busy meanwhile is not found.
func Blind() ([]int, error) {
	s, err := perf.Open(perf.Config{Kinds: []ktrace.EventKind{ktrace.Switch}})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	done := make(chan error)
	go func() {
		// The thread ends with this goroutine, and its CPU mask with it.
		runtime.LockOSThread()
		done <- nap()
	}()
	if err := <-done; err != nil {
		return nil, err
	}
	if err := s.Stop(); err != nil {
		return nil, err
	}
	if _, err := s.Read(source.End, nil); err != nil {
		return nil, err
	}
	return s.Blind(), nil
}

// nap sleeps for short times on each CPU in turn.
func nap() error {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return err
	}
	const most = 64 // more would take too long
	for cpu, n := 0, 0; cpu < len(all)*64 && n < most; cpu++ {
		if !all.IsSet(cpu) {
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

func blindText() string {
	cpus, err := Blind()
	if err != nil || len(cpus) == 0 {
		return ""
	}
	return fmt.Sprintf("the kernel leaves no record of what happens on CPU %v while it is idle, so a wake by an interrupt there cannot be seen; it stays so until the next boot", cpus)
}
