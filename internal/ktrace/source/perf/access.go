//go:build linux

package perf

import (
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"golang.org/x/sys/unix"
)

// Want describes the event that Try opens.
type Want struct {
	ID     int  // of a tracepoint; 0: the software event of context switches
	Switch bool // records of context switches alone, without the kernel's side
	System bool // of all tasks on a CPU; otherwise of this thread
	Chain  bool // with the kernel's call chain
	Raw    bool // with the tracepoint's record
}

// Try asks the kernel whether this process may have such an event. Its error
// is an *ktrace.AccessError.
func Try(w Want) error {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CONTEXT_SWITCHES, Size: uint32(sizeofAttr),
		Sample: 1, Sample_type: sampleBase, Clockid: unix.CLOCK_MONOTONIC,
		Bits: unix.PerfBitDisabled | unix.PerfBitUseClockID | unix.PerfBitExcludeCallchainUser,
	}
	what := "context switches"
	if w.ID != 0 {
		attr.Type, attr.Config, what = unix.PERF_TYPE_TRACEPOINT, uint64(w.ID), "sched:sched_waking"
	}
	if w.Switch {
		attr.Config = unix.PERF_COUNT_SW_DUMMY
		attr.Bits |= unix.PerfBitExcludeKernel | unix.PerfBitContextSwitch
	}
	if w.Chain {
		attr.Sample_type |= sampleCallchain
		what += " with call chains"
	}
	if w.Raw {
		attr.Sample_type |= sampleRaw
		what += " with their contents"
	}
	pid, cpu := 0, -1
	if w.System {
		cpus, err := CPUs()
		if err != nil {
			return err
		}
		pid, cpu = -1, cpus[0]
		what += " of the whole system"
	}
	fd, err := unix.PerfEventOpen(&attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return Refused(what, err)
	}
	return unix.Close(fd)
}

// TrySwitch tries whether a record comes of a thread of this process that sleeps
// for a moment.
func TrySwitch() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rings := NewRings(os.Getpagesize(), NewStacks(nil))
	defer rings.Close()
	spec := &Spec{Name: Tasks, Decode: func(*Sample, *ktrace.Event) bool { return false }, Attr: unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE,
		Config: unix.PERF_COUNT_SW_DUMMY, Bits: unix.PerfBitExcludeKernel | unix.PerfBitContextSwitch}}
	if _, err := rings.Add(spec, 0, -1, false); err != nil {
		return Refused("context switches", err)
	}
	if err := rings.Enable(); err != nil {
		return err
	}
	slept := sleepOnce()
	if err := rings.Stop(); err != nil {
		return err
	}
	if !slept {
		return &ktrace.AccessError{Tier: "perf", Silent: true, Missing: "context switches open, and were not tried: no sleep of this thread gave its processor away"}
	}
	events, err := rings.Read(source.End, nil, func(*ktrace.Event) bool { return true })
	if err == nil && !slices.ContainsFunc(events, func(e ktrace.Event) bool { return e.Kind == ktrace.Switch && e.Target == unix.Gettid() }) {
		err = &ktrace.AccessError{Tier: "perf", Silent: true, Missing: "context switches open, and do not deliver: this thread slept, and there is no record of it"}
	}
	return err
}

// sleepOnce sleeps until the kernel has counted a voluntary switch of this
// thread: on a slow processor a short time is over before it is slept.
func sleepOnce() bool {
	before, ok := switches()
	for d := 50 * time.Microsecond; ok && d < 100*time.Millisecond; d *= 2 {
		ts := unix.NsecToTimespec(int64(d))
		unix.Nanosleep(&ts, nil)
		var now int64
		if now, ok = switches(); now > before {
			return ok
		}
	}
	return false
}

// switches returns how often this thread gave its processor away.
func switches() (n int64, ok bool) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return int64(u.Nvcsw), err == nil
}
