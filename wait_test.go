//go:build linux

package efd_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	procfs "github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// What a thread can be seen to sleep in. A call with 64-bit time has another
// number where long has 32 bits.
var (
	callPpoll    = []int{unix.SYS_PPOLL, time64(414)}
	callPselect6 = []int{unix.SYS_PSELECT6, time64(413)}
	callEpoll    = []int{unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2}
	callRead     = []int{unix.SYS_READ}
	callWrite    = []int{unix.SYS_WRITE}
)

func time64(n int) int {
	if strconv.IntSize == 64 {
		return -1
	}
	if unix.SYS_READ > 4000 { // mips counts from there
		n += 4000
	}
	return n
}

// waitAsleep waits until thread tid sleeps in one of the system calls nrs.
func waitAsleep(t testing.TB, tid int, nrs []int) {
	t.Helper()
	testenv.AwaitAsleep(t, tid, nrs...)
}

// waitFor polls a state that nobody announces.
func waitFor(t testing.TB, state func() bool, format string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !state(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf(format, args...)
		}
	}
}

// asleep reports whether tid sleeps in one of nrs.
func asleep(tid int, nrs []int) bool {
	_, sleeps, err := procfs.Sleeps(os.Getpid(), tid, nrs...)
	return err == nil && sleeps
}
