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
		e.Missing, e.Change = why(what)
	default:
		e.Missing = fmt.Sprintf("the kernel refuses %s: %v", what, err)
	}
	return e
}

// why finds the cause of a refusal: too few privileges, a seccomp filter, or
// lockdown.
func why(what string) (missing, change string) {
	caps, seccomp := status()
	const sysAdmin, perfmon = 1 << 21, 1 << 38
	if caps&(sysAdmin|perfmon) == 0 {
		return fmt.Sprintf("the kernel refuses %s to this process (kernel.perf_event_paranoid is %s)", what, sysctl("perf_event_paranoid")),
			"run as root, or give the process CAP_PERFMON"
	}
	if b, err := os.ReadFile("/sys/kernel/security/lockdown"); err == nil && strings.Contains(string(b), "[confidentiality]") {
		return "kernel lockdown in confidentiality mode refuses " + what, "boot with lockdown=integrity or none"
	}
	if seccomp {
		return "a seccomp filter or security module refuses " + what + " to this process", "allow perf_event_open in the container's seccomp profile"
	}
	return "the kernel refuses " + what + " although the process has the capability", "look for a security module that denies perf_event_open, and run in the initial user namespace"
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
