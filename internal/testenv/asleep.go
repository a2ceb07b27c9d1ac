package testenv

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// AwaitAsleep waits until a thread of this process sleeps interruptibly in the
// system call. The state alone is not enough: Go's own futex sleeps too.
func AwaitAsleep(t testing.TB, tid, nr int) {
	t.Helper()
	for {
		b, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(tid) + "/stat")
		if err != nil {
			t.Fatal(err)
		}
		call, _ := os.ReadFile("/proc/self/task/" + strconv.Itoa(tid) + "/syscall")
		if i := bytes.LastIndexByte(b, ')'); b[i+2] == 'S' && bytes.HasPrefix(call, []byte(strconv.Itoa(nr)+" ")) {
			return
		}
		runtime.Gosched()
	}
}
