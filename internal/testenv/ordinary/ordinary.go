//go:build linux

// Package ordinary runs a test's program as an ordinary user with exactly the
// privileges given, from a test that is root's. A program that imports it can be
// the first step of that: its init function gives the privileges up and executes
// the command.
package ordinary

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// User is the user that a command runs as.
type User struct {
	UID     int
	Caps    []int  // its capabilities
	Tracefs bool   // tracefs is mounted for it to read, in a mount namespace of its own
	Memlock uint64 // RLIMIT_MEMLOCK in bytes
}

// DefaultMemlock is RLIMIT_MEMLOCK if nobody sets it, since Linux 5.16.
const DefaultMemlock = 8 << 20

// Fresh is a user ID that most likely has no process and no locked memory. It has
// 16 bits, as the calls of old 32-bit programs.
func Fresh() int { return 1<<15 + os.Getpid()%(1<<14) }

const stepEnv = "EFD_TEST_ORDINARY"

func init() {
	text := os.Getenv(stepEnv)
	if text == "" {
		return
	}
	os.Unsetenv(stepEnv)
	var u User
	err := json.Unmarshal([]byte(text), &u)
	if err == nil {
		err = u.become()
	}
	fmt.Fprintf(os.Stderr, "ordinary: %v\n", err)
	os.Exit(125)
}

// Command is this program with the arguments, run as the user. The test ends
// unless it is root's. With Tracefs it is for one command of a test: tracefs
// has one group, and the settings of one mount hold for all.
func (u User) Command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		testenv.Require(t, "root", os.ErrPermission)
	}
	if level, err := os.ReadFile("/proc/sys/kernel/perf_event_paranoid"); err == nil && slices.Contains(u.Caps, unix.CAP_PERFMON) && string(level) >= "3" {
		testenv.Require(t, "paranoid", fmt.Errorf("kernel.perf_event_paranoid is %s, with which CAP_PERFMON is not enough", strings.TrimSpace(string(level))))
	}
	text, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	if u.Tracefs {
		testenv.Exclusive(t, "tracefs")
		was, err := tracefsOptions()
		if err != nil {
			testenv.Require(t, "tracefs", err)
		}
		t.Cleanup(func() {
			if err := aside(func() error { return mountTracefs(was) }); err != nil {
				t.Error(err)
			}
		})
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), stepEnv+"="+string(text))
	return cmd
}

// become gives up all but the user's privileges on this thread and executes
// this program again.
func (u User) become() error {
	runtime.LockOSThread()
	// The directory of a test's program is its owner's alone.
	self, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if u.Tracefs {
		if err := mountTracefs("mode=750,gid=" + strconv.Itoa(u.UID)); err != nil {
			return err
		}
	}
	limit := unix.Rlimit{Cur: u.Memlock, Max: u.Memlock}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	id := uintptr(u.UID)
	for _, c := range []struct {
		name string
		nr   uintptr
		args [3]uintptr
	}{{"setgroups", unix.SYS_SETGROUPS, [3]uintptr{}}, {"setresgid", unix.SYS_SETRESGID, [3]uintptr{id, id, id}}, {"setresuid", unix.SYS_SETRESUID, [3]uintptr{id, id, id}}} {
		if _, _, e := unix.RawSyscall(c.nr, c.args[0], c.args[1], c.args[2]); e != 0 {
			return os.NewSyscallError(c.name, e)
		}
	}
	if err := u.keep(); err != nil {
		return err
	}
	return execute(self)
}

// keep has the user's capabilities, and no other, outlive execve.
func (u User) keep() error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for _, c := range u.Caps {
		bit := uint32(1) << (c % 32)
		d := &data[c/32]
		d.Effective, d.Permitted, d.Inheritable = d.Effective|bit, d.Permitted|bit, d.Inheritable|bit
	}
	if err := unix.Capset(&head, &data[0]); err != nil {
		return os.NewSyscallError("capset", err)
	}
	for _, c := range u.Caps {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return os.NewSyscallError("prctl PR_CAP_AMBIENT_RAISE", err)
		}
	}
	return nil
}

const tracefsDir = "/sys/kernel/tracing"

// mountTracefs mounts tracefs where it belongs, for this thread alone. The
// options hold for all its mounts.
func mountTracefs(options string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	flags := uintptr(0)
	if b, err := os.ReadFile("/proc/thread-self/mountinfo"); err == nil && strings.Contains(string(b), " "+tracefsDir+" ") {
		flags = unix.MS_REMOUNT
	}
	return os.NewSyscallError("mount", unix.Mount("tracefs", tracefsDir, "tracefs", flags, options))
}

// tracefsOptions are those that tracefs has.
func tracefsOptions() (options string, err error) {
	err = aside(func() error {
		if err := mountTracefs(""); err != nil {
			return err
		}
		var st unix.Stat_t
		err := unix.Stat(tracefsDir, &st)
		options = fmt.Sprintf("mode=%o,gid=%d", st.Mode&0o777, st.Gid)
		return err
	})
	return options, err
}

// aside runs f on a thread of its own, which ends with f, and its mounts with it.
func aside(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// execute is execve of the open file with this program's arguments.
func execute(fd int) error {
	empty, _ := unix.BytePtrFromString("")
	argv, err := syscall.SlicePtrFromStrings(slices.Clone(os.Args))
	if err != nil {
		return err
	}
	envv, err := syscall.SlicePtrFromStrings(os.Environ())
	if err != nil {
		return err
	}
	_, _, e := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(empty)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
	return os.NewSyscallError("execveat "+strconv.Itoa(fd), e)
}
