//go:build linux

// Package hostile puts a command into an environment that refuses it something:
// system calls, files, capabilities, descriptors.
package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Become makes this process argv in the environment that the conditions
// describe. It returns only with an error. A condition is a name, and after a
// colon its argument:
//
//	refuse:NR=ERRNO,…  a seccomp filter fails these system calls, all by number
//	nofile:N memlock:N fsize:N  both limits of that resource
//	noproc nosys       a mount namespace without /proc, without /sys
//	drop:N             no capability N, not even in the bounding set
//	user:N             user and group N, no further group
//	close:N            descriptor N is closed
//	noenv              no environment
func Become(conditions, argv []string) error {
	runtime.LockOSThread() // the restriction is the thread's, and exec leaves only this one
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	env := os.Environ()
	// The filter comes last: it may refuse calls that the others need.
	slices.SortStableFunc(conditions, func(a, b string) int { return rank(a) - rank(b) })
	for _, c := range conditions {
		name, arg, _ := strings.Cut(c, ":")
		if name == "noenv" {
			env = nil
		} else if err := apply(name, arg); err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
	}
	return fmt.Errorf("exec %s: %w", path, syscall.Exec(path, argv, env))
}

func rank(condition string) int {
	for i, begin := range []string{"no", "drop", "user", "close", "memlock", "fsize", "refuse"} {
		if strings.HasPrefix(condition, begin) {
			return i
		}
	}
	return 0
}

func apply(name, arg string) error {
	if name == "refuse" {
		return refuse(arg)
	}
	switch name {
	case "noproc":
		return unmount("/proc")
	case "nosys":
		return unmount("/sys")
	}
	n, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	limits := map[string]int{"nofile": unix.RLIMIT_NOFILE, "memlock": unix.RLIMIT_MEMLOCK, "fsize": unix.RLIMIT_FSIZE}
	if resource, ok := limits[name]; ok {
		return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: uint64(n), Max: uint64(n)})
	}
	switch name {
	case "drop":
		return drop(n)
	case "user":
		return become(n)
	case "close":
		return unix.Close(n)
	}
	return fmt.Errorf("no condition of that name")
}

func unmount(dir string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return unix.Unmount(dir, unix.MNT_DETACH)
}

// drop removes a capability from the thread and from the programs that it
// executes.
func drop(n int) error {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(n), 0, 0, 0); err != nil {
		return err
	}
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return err
	}
	bit := uint32(1) << (n % 32)
	d[n/32].Effective &^= bit
	d[n/32].Permitted &^= bit
	d[n/32].Inheritable &^= bit
	return unix.Capset(&h, &d[0])
}

// become changes the credentials of this thread alone.
func become(id int) error {
	if _, _, err := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); err != 0 {
		return err
	}
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(id), uintptr(id), uintptr(id)); err != 0 {
		return err
	}
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(id), uintptr(id), uintptr(id)); err != 0 {
		return err
	}
	return nil
}

// refuse installs a filter that fails system calls.
func refuse(arg string) error {
	load := unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS} // nr is the first member
	allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
	filter := []unix.SockFilter{load}
	for pair := range strings.SplitSeq(arg, ",") {
		nr, errno, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseUint(nr, 10, 32)
		if err != nil {
			return err
		}
		e, err := strconv.ParseUint(errno, 10, 12)
		if err != nil {
			return err
		}
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(n)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(e)})
	}
	filter = append(filter, allow)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

// Namespaces gives a command new namespaces. In a user namespace the caller is
// root.
func Namespaces(cmd *exec.Cmd, flags uintptr) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
}
