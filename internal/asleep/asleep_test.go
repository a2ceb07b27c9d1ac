//go:build linux

package asleep

import (
	"context"
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// reader starts a thread that reads from a pipe; wake ends the read.
func reader(t *testing.T) (tid int, wake func()) {
	t.Helper()
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		t.Fatal(err)
	}
	tids, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tids <- syscall.Gettid()
		var b [1]byte
		for {
			if _, err := syscall.Read(p[0], b[:]); err != syscall.EINTR {
				return
			}
		}
	}()
	tid = receive(t, tids, "the thread that reads")
	wake = func() {
		syscall.Write(p[1], []byte("x"))
		receive(t, done, "the end of the read")
		syscall.Close(p[0])
		syscall.Close(p[1])
	}
	return tid, wake
}

// receive is testenv.Receive, which imports this package.
func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("waited a minute for %s", what)
	}
	return v
}

func TestAwait(t *testing.T) {
	tid, wake := reader(t)
	defer wake()
	ctx, cancel := context.WithTimeout(context.Background(), Patience(30*time.Second))
	defer cancel()
	if err := Await(ctx, os.Getpid(), tid, syscall.SYS_WRITE, syscall.SYS_READ); err != nil {
		t.Fatal(err)
	}
	s, err := Of(os.Getpid(), tid)
	if err != nil || !s.In(syscall.SYS_READ) {
		t.Errorf("%+v, %v", s, err)
	}
}

// A thread that sleeps in another call is not taken for one that is awaited,
// and neither is one that runs.
func TestAwaitOther(t *testing.T) {
	if Foreign() {
		t.Skip("the processor is emulated: /proc does not tell its calls apart")
	}
	tid, wake := reader(t)
	defer wake()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := Await(ctx, os.Getpid(), tid, syscall.SYS_WRITE); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read was taken for a write: %v", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := Of(os.Getpid(), syscall.Gettid())
	if err != nil || s.In(syscall.SYS_READ) {
		t.Errorf("this thread runs: %+v, %v", s, err)
	}
}

func TestGone(t *testing.T) {
	if err := Await(context.Background(), os.Getpid(), 1<<30, syscall.SYS_READ); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a thread that is not there: %v", err)
	}
}

func TestPatience(t *testing.T) {
	if d := Patience(time.Second); d < time.Second || d > 20*time.Second {
		t.Errorf("%v", d)
	}
}
