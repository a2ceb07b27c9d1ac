package perf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// Want is what Try asks for.
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

// Refused turns the kernel's answer to perf_event_open into a sentence on what
// is missing.
func Refused(what string, err error) error {
	e := &ktrace.AccessError{Tier: "perf", Err: os.NewSyscallError("perf_event_open", err)}
	switch {
	case errors.Is(err, unix.ENOSYS):
		e.Missing, e.Change = "this kernel has no perf events, or a seccomp filter hides them", "run a kernel with CONFIG_PERF_EVENTS, and outside of that filter"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV):
		e.Missing = what + " does not exist on this kernel"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		e.Missing, e.Change = "too many open files for "+what, "raise the limit of open files (ulimit -n)"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Missing, e.Change, e.Root = why(what)
	default:
		e.Missing = fmt.Sprintf("the kernel refuses %s: %v", what, err)
	}
	return e
}

// why finds the cause of a refusal: too few privileges, a seccomp filter, or
// lockdown.
func why(what string) (missing, change string, root bool) {
	caps, seccomp := status()
	const sysAdmin, perfmon = 1 << 21, 1 << 38
	if caps&(sysAdmin|perfmon) == 0 {
		return fmt.Sprintf("the kernel refuses %s to this process (kernel.perf_event_paranoid is %s)", what, sysctl("perf_event_paranoid")),
			"run as root, or give the process CAP_PERFMON", true
	}
	if b, err := os.ReadFile("/sys/kernel/security/lockdown"); err == nil && strings.Contains(string(b), "[confidentiality]") {
		return "kernel lockdown in confidentiality mode refuses " + what, "boot with lockdown=integrity or none", false
	}
	if seccomp {
		return "a seccomp filter or security module refuses " + what + " to this process", "allow perf_event_open in the container's seccomp profile", false
	}
	return "the kernel refuses " + what + " although the process has the capability", "look for a security module that denies perf_event_open, and run in the initial user namespace", false
}

// Capabilities are this process's effective ones, a bit each.
func Capabilities() uint64 {
	caps, _ := status()
	return caps
}

// status reads the effective capabilities, and whether a seccomp filter is on.
func status() (caps uint64, seccomp bool) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch value = strings.TrimSpace(value); key {
		case "CapEff":
			caps, _ = strconv.ParseUint(value, 16, 64)
		case "Seccomp":
			seccomp = value == "2"
		}
	}
	return caps, seccomp
}

func sysctl(name string) string {
	b, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
