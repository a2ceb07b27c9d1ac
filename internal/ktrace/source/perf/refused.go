//go:build linux

package perf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/rights"
	"golang.org/x/sys/unix"
)

// Refused turns the kernel's answer to perf_event_open into an error that names
// the missing thing.
func Refused(what string, err error) error {
	e := &ktrace.AccessError{Tier: "perf", Err: os.NewSyscallError("perf_event_open", err)}
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		e.Missing, e.Change = "too many open files for "+what, "raise the limit of open files (ulimit -n)"
	case Filtered(err):
		e.Missing = fmt.Sprintf("a seccomp filter refuses perf_event_open, and so %s (%v)", what, err)
		e.Change = "allow perf_event_open in the seccomp profile of the container or service, or run outside of it"
	case errors.Is(err, unix.ENOSYS):
		e.Missing, e.Change = "this kernel has no perf events", "run a kernel with CONFIG_PERF_EVENTS"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV):
		e.Missing = what + " does not exist on this kernel"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		e.Missing, e.Change, e.Root = why(what, rights.Of(), sysctl("perf_event_paranoid"))
	default:
		e.Missing = fmt.Sprintf("the kernel refuses %s: %v", what, err)
	}
	return e
}

// Filtered reports whether a seccomp filter and not the kernel gives the error:
// flags that perf_event_open does not have are EINVAL to the kernel before it
// looks at anything else.
func Filtered(err error) bool {
	const noFlags = ^uintptr(0)
	none := ^uintptr(0)
	_, _, e := unix.RawSyscall6(unix.SYS_PERF_EVENT_OPEN, 0, 0, none, none, noFlags, 0)
	if e == unix.ENOSYS {
		return rights.Filtered()
	}
	return e != unix.EINVAL && errors.Is(err, e)
}

// why finds the cause of a refusal by the kernel itself.
func why(what string, p rights.Privileges, paranoid string) (missing, change string, root bool) {
	admin, perfmon := p.Has(unix.CAP_SYS_ADMIN), p.Has(unix.CAP_PERFMON)
	level, _ := strconv.Atoi(paranoid)
	switch {
	case p.UserNamespace:
		return "the kernel refuses " + what + " to this process: it is in a user namespace of its own, whose root and capabilities do not count for that",
			"run in the initial user namespace, as root or with CAP_PERFMON", false
	case !admin && level >= 3 && perfmon:
		return fmt.Sprintf("the kernel refuses %s to this process: kernel.perf_event_paranoid is %s, with which CAP_PERFMON is not enough", what, paranoid),
			"set kernel.perf_event_paranoid to 2, or run as root", false
	case !admin && !perfmon && level >= 3:
		return fmt.Sprintf("the kernel refuses %s to this process (kernel.perf_event_paranoid is %s)", what, paranoid),
			"run as root, or give the process CAP_PERFMON and set kernel.perf_event_paranoid to 2", true
	case !admin && !perfmon:
		return fmt.Sprintf("the kernel refuses %s to this process (kernel.perf_event_paranoid is %s)", what, paranoid),
			"run as root, or give the process CAP_PERFMON", true
	}
	if b, err := os.ReadFile("/sys/kernel/security/lockdown"); err == nil && strings.Contains(string(b), "[confidentiality]") {
		return "kernel lockdown in confidentiality mode refuses " + what, "boot with lockdown=integrity or none", false
	}
	return "the kernel refuses " + what + " although the process has the capability",
		"look for a security module that denies perf_event_open, and run in the initial user namespace", false
}

// noRings says that the kernel lets this user lock no memory for rings.
func noRings(n int, err error) error {
	limit := "unlimited"
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r) == nil && r.Cur != unix.RLIM_INFINITY {
		limit = strconv.FormatUint(r.Cur>>10, 10) + " kB"
	}
	return &ktrace.AccessError{
		Tier: "perf", Err: err,
		Missing: fmt.Sprintf("the kernel lets this user lock no memory for %s: its events of all processes may take kernel.perf_event_mlock_kb (%s kB) for each CPU, and this process beyond that its RLIMIT_MEMLOCK (%s)",
			count.Of(n, "perf ring"), sysctl("perf_event_mlock_kb"), limit),
		Change: "give the process CAP_IPC_LOCK, raise its limit of locked memory (ulimit -l), or raise kernel.perf_event_mlock_kb",
	}
}

func sysctl(name string) string {
	b, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
