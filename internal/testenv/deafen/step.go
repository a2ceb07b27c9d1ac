//go:build linux

package deafen

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	isDeaf  = "EFD_TEST_IS_DEAF" // set for processes that run without watchpoints that fire
	stepEnv = "EFD_TEST_DEAFEN"  // set for the first step of a command
	ready   = "ready"            // the message that the filter is installed
)

func init() {
	if os.Getenv(stepEnv) == "" {
		return
	}
	os.Unsetenv(stepEnv)
	if err := step(os.Args); err != nil {
		fmt.Fprintf(os.Stderr, "deafen: %v\n", err)
		os.Exit(125)
	}
}

// text is the filter and the number of the socket's descriptor, for step.
func (f Filter) text(socket int) string {
	words := []string{strconv.Itoa(socket), strconv.FormatBool(f.Deaf)}
	for nr, errno := range f.Refuse {
		words = append(words, strconv.Itoa(nr)+"="+strconv.Itoa(int(errno)))
	}
	return strings.Join(words, " ")
}

// step installs the filter that args[1] describes and executes the program
// args[2] with the arguments that follow.
func step(args []string) error {
	runtime.LockOSThread() // the filter is the thread's
	if len(args) < 4 {
		return fmt.Errorf("want a filter, a program and its arguments, have %q", args)
	}
	words := strings.Fields(args[1])
	socket, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	unix.CloseOnExec(socket)
	unix.CloseOnExec(socket + 1)
	f := Filter{Deaf: words[1] == "true", Refuse: map[int]unix.Errno{}}
	for _, w := range words[2:] {
		nr, errno, _ := strings.Cut(w, "=")
		n, _ := strconv.Atoi(nr)
		e, _ := strconv.Atoi(errno)
		f.Refuse[n] = unix.Errno(e)
	}
	listener, err := f.install()
	var rights []byte
	text := ready
	if err != nil {
		text = err.Error()
	} else if listener >= 0 {
		rights = unix.UnixRights(listener)
	}
	if err := unix.Sendmsg(socket, []byte(text), rights, nil, 0); err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	return os.NewSyscallError("execve", syscall.Exec(args[2], args[3:], os.Environ()))
}

// install sets the filter for this thread. listener is -1 if nothing is asked.
func (f Filter) install() (listener int, err error) {
	arch := map[string]uint32{"386": unix.AUDIT_ARCH_I386, "amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return -1, fmt.Errorf("no filter for %s", runtime.GOARCH)
	}
	const nrAt, archAt = 0, 4 // in struct seccomp_data
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unless := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	end := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	prog := []unix.SockFilter{load(archAt), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		end(unix.SECCOMP_RET_ALLOW), load(nrAt)}
	for _, nr := range sortedKeys(f.Refuse) {
		prog = append(prog, unless(uint32(nr), 1), end(unix.SECCOMP_RET_ERRNO|uint32(f.Refuse[nr])))
	}
	flags := uintptr(0)
	if f.Deaf {
		prog = append(prog, unless(unix.SYS_PERF_EVENT_OPEN, 1), end(unix.SECCOMP_RET_USER_NOTIF))
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	prog = append(prog, end(unix.SECCOMP_RET_ALLOW))
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	set := func() (uintptr, unix.Errno) {
		fd, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
		return fd, e
	}
	fd, e := set()
	if e == unix.EACCES { // root alone may do so for programs that gain privileges
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return -1, os.NewSyscallError("prctl", err)
		}
		fd, e = set()
	}
	if e != 0 {
		return -1, os.NewSyscallError("seccomp", e)
	}
	if !f.Deaf {
		return -1, nil
	}
	return int(fd), nil
}

func sortedKeys(m map[int]unix.Errno) []int {
	var keys []int
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
