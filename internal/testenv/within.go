//go:build linux

package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Limit is the time that a test waits for events that are immediate on an idle
// machine: long enough for a busy machine, and short enough for a person.
func Limit() time.Duration {
	if Slow() {
		return 4 * time.Minute
	}
	return time.Minute
}

// Receive returns a value from c, and ends the test if none comes within the
// limit. A closed channel gives the zero value. what completes "waited for".
func Receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	return ReceiveWithin(t, Limit(), c, what)
}

// ReceiveWithin is Receive with another limit.
func ReceiveWithin[T any](t testing.TB, limit time.Duration, c <-chan T, what string) (v T) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatal(overdue(limit, what))
	}
	return v
}

// Within calls wait on a goroutine of its own, and ends the test if it has not
// returned within the limit. wait must not end the test itself.
func Within(t testing.TB, what string, wait func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); wait() }()
	Receive(t, done, what)
}

// Until calls ready until it reports true, and ends the test if that takes
// longer than the limit.
func Until(t testing.TB, what string, ready func() bool) {
	t.Helper()
	limit := Limit()
	for deadline := time.Now().Add(limit); !ready(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal(overdue(limit, what))
		}
	}
}

// overdue names the awaited event, and dumps all goroutines.
func overdue(limit time.Duration, what string) string {
	buf := make([]byte, 64<<10)
	return fmt.Sprintf("waited %v for %s\n%s", limit, what, buf[:runtime.Stack(buf, true)])
}

// Start starts a command, of which Ends is asked then.
func Start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	Ends(t, cmd, strings.Join(cmd.Args, " "))
}

// Ends kills a started process and its children once the limit has passed and
// the test has not ended: reads of its output and Wait then return, and the
// test has failed. what names the process.
func Ends(t testing.TB, cmd *exec.Cmd, what string) {
	t.Helper()
	EndsWithin(t, 2*Limit(), cmd, what)
}

// EndsWithin is Ends with another limit.
func EndsWithin(t testing.TB, limit time.Duration, cmd *exec.Cmd, what string) {
	t.Helper()
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = 10 * time.Second // for children that escaped and still hold its output
	}
	said := make(chan struct{})
	pid := cmd.Process.Pid
	timer := time.AfterFunc(limit, func() {
		defer close(said)
		if errors.Is(cmd.Process.Signal(syscall.Signal(0)), os.ErrProcessDone) {
			return // was waited for, and its number may be another's
		}
		t.Errorf("%s, process %d, has not ended after %v and is killed", what, pid, limit)
		cmd.Process.Signal(syscall.SIGSTOP) // starts no more
		killBelow(pid)
		cmd.Process.Kill()
	})
	t.Cleanup(func() {
		if !timer.Stop() {
			<-said
		}
	})
}

// killBelow kills the children of a process and theirs.
func killBelow(pid int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for _, f := range strings.Fields(string(b)) {
			var child int
			if _, err := fmt.Sscan(f, &child); err == nil {
				syscall.Kill(child, syscall.SIGSTOP)
				killBelow(child)
				syscall.Kill(child, syscall.SIGKILL)
			}
		}
	}
}
