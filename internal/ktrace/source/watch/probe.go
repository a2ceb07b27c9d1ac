//go:build linux

package watch

import (
	"errors"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/rights"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"golang.org/x/sys/unix"
)

// delivered is set once a watchpoint has reported a write: the processor and
// the hypervisor stay the same while a process lives.
var delivered atomic.Bool

// Probe tries whether an eventfd can be watched here and now: the kernel lets
// this process watch kernel memory, the two watchpoints of an eventfd are free
// on every CPU, and a write to watched memory is reported. The error is an
// *ktrace.AccessError.
func Probe() error {
	// Places where nothing is. The kernel asks for more privileges than for the
	// program's own memory.
	if _, err := watched(^uint64(0)&^0xfff, func() {}); err != nil {
		return err
	}
	if delivered.Load() {
		return nil
	}
	// A mapping of its own: the heaps of two Go programs lie at the same addresses.
	mem, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	defer unix.Munmap(mem)
	words := (*[2]uint64)(unsafe.Pointer(&mem[0]))
	atomic.StoreUint64(&words[1], 0) // the page is there before it is watched
	counts, err := watched(uint64(uintptr(unsafe.Pointer(words))), func() {
		atomic.StoreUint64(&words[0], 1)
		atomic.StoreUint64(&words[1], 1)
	})
	if err != nil {
		return err
	}
	if counts[0] == 0 || counts[1] == 0 {
		return &ktrace.AccessError{
			Tier: "watch", Silent: true,
			Missing: "watchpoints open, and do not deliver: of a write to watched memory of this program the processor said nothing, " +
				"as under a hypervisor that accepts watchpoints and keeps their exceptions",
			Change: "run on a machine, or under a hypervisor, whose watchpoints deliver",
		}
	}
	delivered.Store(true)
	return nil
}

// watched counts the writes to two words from addr on while do runs.
func watched(addr uint64, do func()) (counts [2]uint64, err error) {
	rings := perf.NewRings(os.Getpagesize(), perf.NewStacks(nil))
	defer rings.Close()
	cpus, err := perf.CPUs()
	if err != nil {
		return counts, err
	}
	var events [2][]*perf.Event
	for _, cpu := range cpus {
		for i := range events {
			spec := breakpoint(addr+uint64(8*i), 8, func(*perf.Sample, *ktrace.Event) bool { return false })
			spec.Chain = false
			e, err := rings.Add(spec, -1, cpu, false)
			if errors.Is(err, unix.ENODEV) {
				break // the CPU went offline
			}
			if err != nil {
				return counts, access(err)
			}
			events[i] = append(events[i], e)
		}
	}
	for i := range events {
		for _, e := range events[i] {
			if err := e.Enable(); err != nil {
				return counts, err
			}
		}
	}
	do()
	for i := range events {
		for _, e := range events[i] {
			n, err := e.Count()
			if err != nil {
				return counts, err
			}
			counts[i] += n
		}
	}
	return counts, nil
}

func access(err error) error {
	e := &ktrace.AccessError{Tier: "watch", Err: err}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EBUSY):
		e.Missing = "an eventfd takes two of the processor's watchpoints, and others use so many that fewer are free"
		e.Change = "end the debugger or tracer that uses them"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EINVAL):
		e.Missing, e.Change = "this kernel has no watchpoints for its own memory", "run a kernel with CONFIG_HAVE_HW_BREAKPOINT on x86"
	case perf.Filtered(err), rights.Of().Has(unix.CAP_SYS_ADMIN):
		return perf.Refused("a watchpoint", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Missing, e.Change = "the kernel refuses watchpoints on its own memory", "run as root (CAP_SYS_ADMIN in the initial user namespace); CAP_PERFMON is not enough"
	default:
		return perf.Refused("a watchpoint", err)
	}
	return e
}
