//go:build linux

package tiers

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/deafen"
	"golang.org/x/sys/unix"
)

// without unmounts what is mounted at dir for this process alone, which begins
// anew: its other threads had the old mounts.
func without(dir string) error {
	runtime.LockOSThread()
	fd, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return err
	}
	os.Setenv(childEnv, "1")
	argv, err := syscall.SlicePtrFromStrings(os.Args)
	if err != nil {
		return err
	}
	envv, err := syscall.SlicePtrFromStrings(os.Environ())
	if err != nil {
		return err
	}
	empty := new(byte)
	_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
	return e
}

// The changes that doctor names are those that help where it is run, and the
// causes are the right ones.
func TestEnvironments(t *testing.T) {
	if r := Probe(nil, nil); os.Geteuid() != 0 || !r.Tier(Payloads).OK || !r.Tier(Names).OK {
		testenv.Require(t, "perf", os.ErrPermission)
	}
	uids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	for _, c := range []struct {
		name string
		mode string
		attr *syscall.SysProcAttr
		f    deafen.Filter

		tier         string
		missing      string
		change       string
		nobodySpeaks []string // of what is not the cause
	}{
		{name: "no /proc", mode: "/proc", tier: OwnThreads, missing: "/proc cannot be read", change: "mount /proc",
			nobodySpeaks: []string{"root", "CAP_", "no function tracer", "CONFIG_"}},
		{name: "no /sys", mode: "/sys", tier: OwnThreads, missing: "/sys/devices/system/cpu/online", change: "mount /sys", nobodySpeaks: []string{"run as root", "CAP_"}},
		{name: "fsopen hidden", mode: "1", f: deafen.Filter{Refuse: map[int]unix.Errno{unix.SYS_FSOPEN: unix.ENOSYS}}, tier: OwnThreads,
			missing: "seccomp filter", change: "fsopen", nobodySpeaks: []string{"older than", "run as root"}},
		{name: "perf_event_open hidden", mode: "1", f: deafen.Filter{Refuse: map[int]unix.Errno{unix.SYS_PERF_EVENT_OPEN: unix.EPERM}}, tier: System,
			missing: "a seccomp filter refuses perf_event_open", change: "allow perf_event_open", nobodySpeaks: []string{"run as root", "security module", "CONFIG_PERF_EVENTS"}},
		{name: "user namespace", mode: "1", attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: uids, GidMappings: uids}, tier: System,
			missing: "user namespace", change: "in the initial user namespace", nobodySpeaks: []string{"give the process", "kptr_restrict"}},
		{name: "foreign /proc", mode: "1", attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}, tier: System,
			missing: "/proc is not that of this PID namespace", change: "mount it there", nobodySpeaks: []string{"run as root", "CAP_"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if fs, err := tracefs.Open(); c.f.Refuse[unix.SYS_FSOPEN] != 0 && err == nil {
				how := fs.How()
				fs.Close()
				if strings.HasPrefix(how, "mounted") {
					t.Skip("tracefs is " + how + ": nothing needs fsopen")
				}
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env, cmd.SysProcAttr = append(os.Environ(), childEnv+"="+c.mode), c.attr
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, os.Stderr
			var err error
			if c.f.Refuse != nil {
				err = c.f.Start(cmd)
			} else {
				err = cmd.Start()
			}
			if err == nil {
				testenv.Ends(t, cmd, "the probe")
				err = cmd.Wait()
			}
			if err != nil && c.attr != nil && out.Len() == 0 {
				testenv.Require(t, "namespaces", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			var r Report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if tier := r.Tier(c.tier); tier.OK || !strings.Contains(tier.Missing, c.missing) || !strings.Contains(tier.Change, c.change) {
				t.Errorf("%s: %q; %q", tier.Name, tier.Missing, tier.Change)
			}
			for _, tier := range r.Tiers {
				for _, word := range c.nobodySpeaks {
					if text := tier.Missing + "; " + tier.Change; strings.Contains(text, word) {
						t.Errorf("%s speaks of %q: %s", tier.Name, word, text)
					}
				}
			}
			for _, f := range r.Facts {
				if f.Name == "capabilities" && strings.Contains(f.Value, "none that matters") {
					t.Errorf("the capabilities of root are %q", f.Value)
				}
			}
		})
	}
}
