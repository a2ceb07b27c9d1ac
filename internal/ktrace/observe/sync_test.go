//go:build linux

package observe

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// A wake whose thread does not come to run is delivered once it has had its time,
// and its sleep is not one that nothing ended.
func TestSettle(t *testing.T) {
	var delivered []*Judged
	p := NewPipeline(&Kernel{Arch: "amd64", Version: ktrace.Version{Major: 6, Minor: 18}, Catalog: catalog.Default()}, Options{Calls: true, OnWake: func(j *Judged) { delivered = append(delivered, j) }})
	sleep := asleep(10, int64(time.Second))
	p.Feed([]ktrace.Event{{Kind: ktrace.SysEnter, Time: 1, PID: 5, TID: 7, Nr: 271}, sleep[0], wake(15)}, nil)
	p.Passed(20)
	if left := p.settle(14); left != "" || len(delivered) != 0 {
		t.Errorf("before the wake: %q is left, %d wakes delivered", left, len(delivered))
	}
	if left := p.settle(20); !strings.HasPrefix(left, "1 wake up to the call waits for the woken thread") || len(delivered) != 0 {
		t.Errorf("%q is left, %d wakes delivered", left, len(delivered))
	}
	p.Passed(20 + patience)
	if left := p.settle(20); left != "" || len(delivered) != 1 || delivered[0].Latency() != -1 {
		t.Errorf("%q is left, %d wakes delivered", left, len(delivered))
	}
	p.Feed(sleep[1:], nil)
	p.Flush(2 * int64(time.Second))
	if len(delivered) != 1 || p.Unwoken != 0 || p.Lost != 0 {
		t.Errorf("%d wakes delivered, %d sleeps without one, %d lost", len(delivered), p.Unwoken, p.Lost)
	}
}

// A limit that passes says what was waited for.
func TestSyncLimit(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	first := true
	s, err := Start(Options{PIDs: []int{os.Getpid()}, OnWake: func(*Judged) {
		if first {
			first = false
			close(entered)
			select {
			case <-release:
			case <-time.After(testenv.Limit()): // the test has failed by then
			}
		}
	}})
	if a, ok := errors.AsType[*ktrace.AccessError](err); ok {
		testenv.Require(t, a.Tier, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	pollOnce(t)
	synced := make(chan error, 1)
	go func() { synced <- s.Sync(testenv.Limit()) }() // has the wake delivered, as no running is recorded
	testenv.Receive(t, entered, "the wake")
	err = s.Sync(50 * time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "waited 50ms: the records are read up to ") ||
		!strings.Contains(err.Error(), "an OnWake function has not returned for ") {
		t.Errorf("Sync = %v", err)
	}
	close(release)
	if err := testenv.Receive(t, synced, "Sync"); err != nil {
		t.Error(err)
	}
	if len(s.barriers) != 0 {
		t.Errorf("%d barriers are left", len(s.barriers))
	}
	if _, err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Sync(time.Second); err != os.ErrClosed {
		t.Errorf("Sync after Stop = %v", err)
	}
}

// pollOnce has a thread wait in ppoll and be woken by a write.
func pollOnce(t *testing.T) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	waiter := make(chan int)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread that is watched has to be the one that polls
		defer runtime.UnlockOSThread()
		waiter <- unix.Gettid()
		_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(p[0]), Events: unix.POLLIN}}, nil, nil)
		done <- err
	}()
	testenv.AwaitAsleep(t, testenv.Receive(t, waiter, "the waiter"), unix.SYS_PPOLL)
	if _, err := unix.Write(p[1], []byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := testenv.Receive(t, done, "the waiter's poll"); err != nil {
		t.Fatal(err)
	}
}
