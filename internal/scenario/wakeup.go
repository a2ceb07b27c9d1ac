//go:build linux

package scenario

import (
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// The CPU of the woken thread varies with load and topology; these two pin it.
// The path of try_to_wake_up is then reported and never asserted.
var wakeups = []*Scenario{
	{
		Name: "wakeup_same_cpu", System: 18, Title: "a thread wakes one that may run on the waker's own CPU only",
		Source: "eventfd_write", Waiter: "read", SleepPath: "eventfd_read", Through: []string{"sleeper"}, Paths: []string{"eventfd2", "eventfd_read", "try_to_wake_up"},
		run: func(t *T) error { return t.wakeOn(1) },
	},
	{
		Name: "wakeup_other_cpu", System: 18, Title: "a thread wakes one that may run on another CPU only",
		Source: "eventfd_write", Waiter: "read", SleepPath: "eventfd_read", Through: []string{"sleeper"}, Paths: []string{"eventfd2", "eventfd_read", "try_to_wake_up"},
		run: func(t *T) error { return t.wakeOn(2) },
	},
}

// wakeOn pins waker and waiter to the first and the last of n CPUs.
func (t *T) wakeOn(n int) error {
	cpus, err := allowedCPUs(n)
	if err != nil {
		return err
	}
	if err := t.Do(func() error { return t.pin(cpus[0]) }); err != nil {
		return err
	}
	if err := t.waiter.do(func() error { return t.pin(cpus[n-1]) }); err != nil {
		return err
	}
	e, err := t.EventFD(0, efd.Blocking)
	if err != nil {
		return err
	}
	return t.waitFor(e, readExpect(e, 1), unix.SYS_READ)
}

// allowedCPUs lists the first n CPUs that the current thread may run on.
func allowedCPUs(n int) ([]int, error) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return nil, callError(err, "sched_getaffinity")
	}
	var cpus []int
	for cpu := 0; len(cpus) < n && cpu < int(unsafe.Sizeof(may))*8; cpu++ {
		if may.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	if len(cpus) < n {
		return nil, Skip("the threads may run on %d CPU only, and this takes %d", len(cpus), n)
	}
	return cpus, nil
}

// pin pins the current thread, which ends with the scenario.
func (t *T) pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return t.sys(func() error { return unix.SchedSetaffinity(0, &set) }, "sched_setaffinity(0, %d, [%d])", unsafe.Sizeof(set), cpu)
}
