//go:build linux && (386 || arm || mips || mipsle)

package efd

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// oldKernel, in the environment, is the errno with which this process refuses
// the calls with 64-bit time.
const oldKernel = "EFD_OLD_KERNEL"

// The calls with 32-bit time do all that the others do. It is the other tests
// that say so, in a process that has no others.
func TestOldTimeCalls(t *testing.T) {
	if testenv.Emulated() {
		t.Skip("qemu-user has no seccomp")
	}
	if os.Getenv(oldKernel) != "" {
		t.Skip("runs the process that this is")
	}
	for _, errno := range []string{"ENOSYS", "EPERM"} {
		t.Run(errno, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.short", "-test.v", "-test.run="+
				"^(TestConformance|TestTimeoutsAreNeverCutShort|TestLongTimeouts|TestPreemptionSignalEndsNoWait|TestSticky.*|TestTracerIsTold.*|TestPollSet.*|TestSelect.*|TestNoTime64)$/^(poll|poll_source|pollset|select|Poll.*|Select.*)?$")
			cmd.Env = append(os.Environ(), oldKernel+"="+errno)
			out, err := cmd.CombinedOutput()
			if passed := strings.Count(string(out), "--- PASS"); err != nil || passed < 80 {
				t.Errorf("%v, %d tests passed\n%s", err, passed, out)
			}
		})
	}
}

// TestNoTime64 ends the process that TestOldTimeCalls starts.
func TestNoTime64(t *testing.T) {
	if os.Getenv(oldKernel) == "" {
		t.Skip("runs as a child of TestOldTimeCalls")
	}
	noTime64.Store(false)
	calls := ""
	defer AddTracer(func(c *Call) { calls += c.Syscall + " " })()
	if n, err := Poll(nil, 0, nil); n != 0 || err != nil {
		t.Errorf("Poll = %d, %v", n, err)
	}
	if n, err := Select(nil, nil, nil, 0, nil); n != 0 || err != nil {
		t.Errorf("Select = %d, %v", n, err)
	}
	if want := "ppoll_time64 ppoll pselect6 "; calls != want {
		t.Errorf("made %s, want %s", calls, want)
	}
}

func init() {
	if name := os.Getenv(oldKernel); name != "" {
		if err := refuseTime64(map[string]unix.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM}[name]); err != nil {
			panic(err)
		}
	}
}

// refuseTime64 has a seccomp filter answer the calls with 64-bit time, for all
// threads of the process.
func refuseTime64(errno unix.Errno) error {
	const setModeFilter, allThreads = 1, 1
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nrPpoll, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nrPselect6, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_NO_NEW_PRIVS: %w", err)
	}
	if _, _, e := syscall.Syscall(unix.SYS_SECCOMP, setModeFilter, allThreads, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
