//go:build linux

package testenv

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// recorder is a test of which one sees how it ended.
type recorder struct {
	testing.TB
	said    string
	cleanup []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Error(args ...any) {
	r.said += fmt.Sprint(args...)
}
func (r *recorder) Errorf(format string, args ...any) { r.Error(fmt.Sprintf(format, args...)) }
func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}
func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

// saidBy is what a test says that is nothing but f.
func saidBy(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, c := range r.cleanup {
				c()
			}
		}()
		f(r)
	}()
	Receive(t, done, "the end of the test inside")
	return r.said
}

func TestReceive(t *testing.T) {
	c := make(chan int, 1)
	c <- 7
	if got := Receive(t, c, "a number that is there"); got != 7 {
		t.Errorf("Receive = %d", got)
	}
	said := saidBy(t, func(t testing.TB) { ReceiveWithin(t, 10*time.Millisecond, c, "a second number") })
	if !strings.HasPrefix(said, "waited 10ms for a second number\n") || !strings.Contains(said, "goroutine ") {
		t.Errorf("said %q", said)
	}
}

// A process that does not end is killed together with the one that it started
// and that holds its output too.
func TestEnds(t *testing.T) {
	var rest []byte
	var err error
	var cmd *exec.Cmd
	said := saidBy(t, func(t testing.TB) {
		cmd = exec.Command("/proc/self/exe", "-test.run=^$")
		cmd.Env = append(os.Environ(), waits+"=2")
		out, e := cmd.StdoutPipe()
		if e == nil {
			e = cmd.Start()
		}
		if e != nil {
			t.Fatal(e)
		}
		EndsWithin(t, 300*time.Millisecond, cmd, "what never ends")
		rest, err = io.ReadAll(out)
		cmd.Wait()
	})
	if !strings.HasPrefix(said, "what never ends, process ") || err != nil || len(rest) > 0 {
		t.Errorf("said %q, read %q, %v", said, rest, err)
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("it ended by %v", cmd.ProcessState)
	}
	said = saidBy(t, func(t testing.TB) {
		cmd := exec.Command("/proc/self/exe", "-test.run=^$")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		EndsWithin(t, time.Millisecond, cmd, "what has ended")
		time.Sleep(100 * time.Millisecond) // the test goes on past that limit
	})
	if said != "" {
		t.Errorf("of a process that ends: %q", said)
	}
}

// waits is how many processes one after the other are to wait for ever.
const waits = "EFD_TEST_WAITS"

func TestMain(m *testing.M) {
	switch os.Getenv(waits) {
	case "2":
		cmd := exec.Command("/proc/self/exe")
		cmd.Env, cmd.Stdout = append(os.Environ(), waits+"=1"), os.Stdout
		cmd.Run()
		return
	case "1":
		for {
			syscall.Pause()
		}
	}
	os.Exit(m.Run())
}
