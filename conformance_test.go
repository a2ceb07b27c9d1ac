//go:build linux

package efd_test

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// The conformance suite: what eventfd(2), poll(2), select(2), epoll(7) and
// signal(7) promise, and what the test suites of kernels and libraries check,
// asked of the public surface. No case sleeps to let something happen: each
// waits for the state it needs.
var conformance = []struct {
	subject string
	cases   []conformanceCase
}{
	{"eventfd", eventfdCases}, {"handle", handleCases}, {"context", contextCases}, {"poll", pollCases}, {"poll source", sourceCases},
	{"select", selectCases}, {"fdset", fdsetCases}, {"epoll", epollCases}, {"epoll modes", epollModeCases}, {"epoll handle", epollHandleCases},
	{"pollset", pollsetCases}, {"signal", signalCases},
}

type conformanceCase struct {
	name string
	run  func(t *testing.T)
}

func TestConformance(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range conformance {
		t.Run(s.subject, func(t *testing.T) {
			for _, c := range s.cases {
				if seen[s.subject+c.name] {
					t.Errorf("two cases are called %q", c.name)
				}
				seen[s.subject+c.name] = true
				t.Run(c.name, c.run)
			}
		})
	}
}

// native skips what an emulator of the system calls cannot do.
func native(t testing.TB, what string) {
	t.Helper()
	if testenv.Emulated() {
		t.Skip("qemu-user cannot " + what)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// count is what fdinfo says of the counter: it takes nothing.
func count(t testing.TB, e *efd.EventFD) uint64 {
	t.Helper()
	info, err := e.Info()
	check(t, err)
	return info.Count
}

// pollOne is what Poll says of one descriptor, at once.
func pollOne(t testing.TB, fd int, events efd.PollEvents) efd.PollEvents {
	t.Helper()
	fds := []efd.PollFD{{FD: int32(fd), Events: events}}
	n, err := efd.Poll(fds, 0, nil)
	check(t, err)
	if (n == 1) != (fds[0].Revents != 0) || n > 1 {
		t.Errorf("Poll = %d with %v", n, fds)
	}
	return fds[0].Revents
}

// parked is a goroutine on a thread of its own.
type parked struct {
	tid  int
	done chan struct{}
}

// onThread runs fn on a thread of its own.
func onThread(fn func()) *parked {
	p := &parked{done: make(chan struct{})}
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		p.tid = unix.Gettid()
		close(started)
		fn()
	}()
	<-started
	return p
}

// park is onThread, and waits until fn sleeps in one of nrs.
func park(t testing.TB, nrs []int, fn func()) *parked {
	t.Helper()
	p := onThread(fn)
	waitAsleep(t, p.tid, nrs)
	return p
}

func (p *parked) wait(t testing.TB) {
	t.Helper()
	wait(t, p.done, "the wait did not end")
}

// running fails where fn has returned.
func (p *parked) running(t testing.TB) {
	t.Helper()
	select {
	case <-p.done:
		t.Error("the wait has ended")
	default:
	}
}

func wait[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(30 * time.Second):
		t.Fatal(what)
	}
	return v
}

// waitGoroutines waits until n goroutines of function fn are in one of states,
// as a stack dump names them.
func waitGoroutines(t testing.TB, n int, fn string, states ...string) {
	t.Helper()
	waitFor(t, func() bool { return goroutinesIn(fn, states) >= n }, "no %d goroutines of %s are in %v", n, fn, states)
}

func goroutinesIn(fn string, states []string) int {
	buf := make([]byte, 1<<20)
	n := 0
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		head, body, _ := strings.Cut(g, "\n")
		for _, s := range states {
			if strings.Contains(head, "["+s) && strings.Contains(body, fn) {
				n++
				break
			}
		}
	}
	return n
}

// inPoller is where a goroutine is that waits in Go's poller.
const inPoller = "IO wait"

// notified has a handler for sig until the test ends.
func notified(t testing.TB, sig os.Signal) <-chan os.Signal {
	c := make(chan os.Signal, 64)
	signal.Notify(c, sig)
	t.Cleanup(func() { signal.Stop(c) })
	return c
}

// number is a descriptor that is closed once: in the test, or when it ends.
type number struct {
	fd     int
	closed bool
}

func own(t testing.TB, fd int, err error) *number {
	t.Helper()
	check(t, err)
	n := &number{fd: fd}
	t.Cleanup(n.close)
	return n
}

func (n *number) close() {
	if !n.closed {
		n.closed = true
		unix.Close(n.fd)
	}
}

// pipe returns the two ends, non-blocking.
func pipe(t testing.TB) (r, w *number) {
	t.Helper()
	var p [2]int
	check(t, unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	return own(t, p[0], nil), own(t, p[1], nil)
}

// freeNumber is a number that no descriptor has, within the table.
func freeNumber(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	check(t, err)
	check(t, unix.Close(fd))
	return fd
}

// atLeast wants fn to take no less than d.
func atLeast(t testing.TB, d time.Duration, fn func()) {
	t.Helper()
	start := time.Now()
	fn()
	if took := time.Since(start); took < d {
		t.Errorf("took %v, want %v at least", took, d)
	}
}

// calls is the names of the system calls that fn makes on this thread.
func calls(t testing.TB, fn func()) string {
	var names []string
	for _, c := range traced(t, fn) {
		names = append(names, strings.TrimSuffix(c.Syscall, "_time64"))
	}
	return strings.Join(names, " ")
}

// eachClosed makes a case of each method of a closed handle.
func eachClosed(t *testing.T, methods map[string]func() error) {
	for name, fn := range methods {
		if err := fn(); err != os.ErrClosed {
			t.Errorf("%s after Close: %v, want os.ErrClosed itself", name, err)
		}
	}
}
