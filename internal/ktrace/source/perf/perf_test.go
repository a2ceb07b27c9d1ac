//go:build linux

package perf

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var loadSymbols = sync.OnceValues(ksym.Load)

// open starts an observation or ends the test with what is missing for it.
func open(t testing.TB, c Config) *Source {
	t.Helper()
	syms, err := loadSymbols()
	testenv.Require(t, "kallsyms", err)
	c.Symbols = syms
	s, err := Open(c)
	if ae, ok := errors.AsType[*ktrace.AccessError](err); ok {
		testenv.Require(t, ae.Tier, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wakeOnce lets one thread sleep in a read of an eventfd and another write to
// it, and returns the two threads and the eventfd.
func wakeOnce(t testing.TB) (waker, wakee, fd int) {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	tids := make(chan int)
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tids <- unix.Gettid()
		var b [8]byte
		_, err := unix.Read(fd, b[:])
		done <- err
	}()
	wakee = testenv.Receive(t, tids, "the waiting thread")
	testenv.AwaitAsleep(t, wakee, unix.SYS_READ)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	waker = unix.Gettid()
	if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if err := testenv.Receive(t, done, "the end of ppoll"); err != nil {
		t.Fatal(err)
	}
	return waker, wakee, fd
}

func stop(t testing.TB, s *Source) []ktrace.Event {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	events, err := s.Read(source.End, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Losses(); len(l) > 0 {
		t.Fatalf("records were lost: %+v", l)
	}
	return events
}

func names(stack []ktrace.Frame) string {
	var n []string
	for _, f := range stack {
		n = append(n, f.Name)
	}
	return strings.Join(n, " < ")
}

// check finds the wake among the events and holds what is around it against
// what the two threads did.
func check(t *testing.T, events []ktrace.Event, waker, wakee, fd int) {
	t.Helper()
	if !slices.IsSortedFunc(events, func(a, b ktrace.Event) int { return int(min(max(a.Time-b.Time, -1), 1)) }) {
		t.Error("events are not in the order of their times")
	}
	wakes := 0
	var order []string
	for _, e := range events {
		switch {
		case e.Kind == ktrace.Waking && e.TID == waker && e.Target == wakee && strings.Contains(names(e.Stack), "eventfd_write") && !strings.Contains(names(e.Stack), "ep_poll_callback"):
			wakes++ // not of Go's poller, which an eventfd wakes too
			order = append(order, "wake")
			if e.PID != os.Getpid() || e.Comm == "" || e.TargetComm == "" {
				t.Errorf("wake: PID %d, names %q and %q", e.PID, e.Comm, e.TargetComm)
			}
			if n := names(e.Stack); !strings.HasPrefix(n, "try_to_wake_up < ") || strings.Contains(n, "trace") {
				t.Errorf("wake: stack is %s", n)
			}
		case e.Kind == ktrace.Switch && e.TID == wakee && !e.Preempted && strings.Contains(names(e.Stack), "eventfd_read"):
			if len(order) == 0 || order[len(order)-1] != "sleep" { // again: a signal of Go's runtime had it start over
				order = append(order, "sleep")
			}
		case e.Kind == ktrace.Switch && e.Target == wakee && wakes > 0 && order[len(order)-1] == "wake":
			order = append(order, "run")
		case e.Kind == ktrace.SysEnter && e.TID == waker && e.Nr == unix.SYS_WRITE && int(e.Args[0]) == fd:
			order = append(order, "enter")
			if e.Args[2] != 8 {
				t.Errorf("write of %d bytes entered, want 8", e.Args[2])
			}
		case e.Kind == ktrace.SysExit && e.TID == wakee && e.Nr == unix.SYS_READ && e.Ret == 8 && wakes > 0:
			order = append(order, "exit")
		}
	}
	if wakes != 1 {
		t.Errorf("%d wakes seen of 1", wakes)
	}
	if d := cmp.Diff([]string{"sleep", "enter", "wake", "run", "exit"}, order); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
		for _, e := range events {
			t.Logf("%d cpu%d kind %d %d -> %d state %#x nr %d ret %d %s", e.Time, e.CPU, e.Kind, e.TID, e.Target, e.State, e.Nr, e.Ret, names(e.Stack))
		}
	}
}

func TestSystem(t *testing.T) {
	s := open(t, Config{PIDs: []int{os.Getpid()}})
	waker, wakee, fd := wakeOnce(t)
	events := stop(t, s)
	for _, e := range events {
		if e.PID != os.Getpid() && s.tasks.processOf(e.Target) != os.Getpid() {
			t.Errorf("event of another process: %+v", e)
		}
	}
	check(t, events, waker, wakee, fd)
}

func TestTasks(t *testing.T) {
	s := open(t, Config{Tasks: []int{os.Getpid()}})
	waker, wakee, fd := wakeOnce(t)
	check(t, stop(t, s), waker, wakee, fd)
}

// TestStarted: a process that an observed one starts is told of once.
func TestStarted(t *testing.T) {
	s := open(t, Config{Tasks: []int{os.Getpid()}, Started: true, Kinds: []ktrace.EventKind{ktrace.Waking}})
	before := source.Now()
	cmd := another("end")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	after, told := source.Now(), 0
	for _, e := range stop(t, s) {
		if e.Kind != ktrace.Started || e.PID != cmd.Process.Pid {
			continue
		}
		if told++; e.Time < before || e.Time > after {
			t.Errorf("it was started at %d, and is said to have been at %d, before %d", before, e.Time, after)
		}
	}
	if told != 1 {
		t.Errorf("told %d times of the process that was started", told)
	}
}

func TestSyscallFilter(t *testing.T) {
	s := open(t, Config{PIDs: []int{os.Getpid()}, Kinds: []ktrace.EventKind{ktrace.SysEnter, ktrace.SysExit}, Syscalls: []int{unix.SYS_WRITE}})
	_, _, fd := wakeOnce(t)
	found := false
	for _, e := range stop(t, s) {
		if e.Nr != unix.SYS_WRITE {
			t.Errorf("system call %d passed a filter for %d", e.Nr, unix.SYS_WRITE)
		}
		found = found || e.Kind == ktrace.SysEnter && int(e.Args[0]) == fd
	}
	if !found {
		t.Error("the write is not there")
	}
}

func TestLoss(t *testing.T) {
	s := open(t, Config{PIDs: []int{os.Getpid()}, Kinds: []ktrace.EventKind{ktrace.SysEnter}, Ring: os.Getpagesize()})
	before := source.Now()
	const calls = 20000
	for range calls {
		unix.Getppid()
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	events, err := s.Read(source.End, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := uint64(0)
	for _, e := range events {
		if e.PID == os.Getpid() && e.Nr == unix.SYS_GETPPID {
			got++
		}
	}
	lost := uint64(0)
	for _, l := range s.Losses() {
		if l.Source != "raw_syscalls:sys_enter" && !s.rings.noLost {
			continue // records of tasks share the ring
		}
		if l.From > l.To || l.To < before {
			t.Errorf("loss from %d to %d", l.From, l.To)
		}
		lost += l.Count
	}
	if lost == 0 || got+lost < calls {
		t.Errorf("%d calls: %d recorded and %d counted as lost", calls, got, lost)
	}
	if s.Losses() != nil {
		t.Error("a loss is reported twice")
	}
}

// A ring says what it had no room for in the next record alone; the kernel is
// asked before one comes.
func TestAccount(t *testing.T) {
	s := open(t, Config{PIDs: []int{os.Getpid()}, Kinds: []ktrace.EventKind{ktrace.SysEnter}, Syscalls: []int{unix.SYS_GETPPID}, Ring: os.Getpagesize()})
	if s.rings.noLost {
		t.Skip("the kernel does not count what is lost for each event (before Linux 6.0)")
	}
	for range 20000 {
		unix.Getppid()
	}
	lost := func() (n uint64) {
		for _, l := range s.Losses() {
			if l.Source == "raw_syscalls:sys_enter" {
				n += l.Count
			}
		}
		return n
	}
	if _, err := s.Read(source.Now(), nil); err != nil {
		t.Fatal(err)
	}
	before := lost()
	if err := s.Account(); err != nil {
		t.Fatal(err)
	}
	counted := lost()
	if counted == 0 {
		t.Errorf("%d records were known to be lost, %d after asking", before, counted)
	}
	for range 10 { // the ring, which has room again, now says so itself
		unix.Getppid()
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(source.End, nil); err != nil {
		t.Fatal(err)
	}
	if n := lost(); n != 0 {
		t.Errorf("%d more records are lost, and nothing was for them to push out", n)
	}
}

// descriptors counts the open ones, and those of perf among them.
func descriptors(t *testing.T) (all, perf int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range fds {
		n, _ := strconv.Atoi(d.Name())
		if path, _ := os.Readlink("/proc/self/fd/" + d.Name()); !strings.Contains(path, "perf_event") {
			continue
		}
		perf++
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("perf descriptor %d is not closed on exec (%v)", n, err)
		}
	}
	return len(fds), perf
}

func TestNothingLeftOpen(t *testing.T) {
	open(t, Config{}).Close()
	before, _ := descriptors(t)
	for range 5 {
		s := open(t, Config{})
		if _, perf := descriptors(t); perf == 0 {
			t.Error("no descriptor of perf is open")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if after, _ := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestHold(t *testing.T) {
	open(t, Config{}).Close()
	all, perf := descriptors(t)
	h, err := KeepOpen("sched:sched_waking", "sched:sched_switch")
	if err != nil {
		t.Fatal(err)
	}
	if _, now := descriptors(t); now != perf+2 {
		t.Errorf("two tracepoints are held by %d descriptors", now-perf)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if h, err := KeepOpen("sched:sched_waking", "sched:none"); err == nil || !strings.Contains(err.Error(), "sched:none") {
		h.Close()
		t.Errorf("a tracepoint that there is not: %v", err)
	}
	if now, _ := descriptors(t); now != all {
		t.Errorf("%d descriptors before, %d after", all, now)
	}
}

func TestBadConfig(t *testing.T) {
	for _, c := range []Config{{Ring: 1}, {Ring: 3 * os.Getpagesize()}, {Tasks: []int{}}, {Tasks: []int{1 << 30}}} {
		s, err := Open(c)
		if err == nil {
			s.Close()
			t.Errorf("Open(%+v) works", c)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%+v): %v: not one line", c, err)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	got, err := parseCPUs("0-2,8,10-11")
	if want := []int{0, 1, 2, 8, 10, 11}; err != nil || !slices.Equal(got, want) {
		t.Errorf("parseCPUs = %v, %v", got, err)
	}
	for _, s := range []string{"", "a", "3-1", "0-", "0,,1", "-1", "0-99999999"} {
		if got, err := parseCPUs(s); err == nil {
			t.Errorf("parseCPUs(%q) = %v, want an error", s, got)
		}
	}
}

// A timer wakes a sleeper on a CPU whose thread's own events are being
// written. The chain begins at the wake-up all the same.
func TestWakeOverATracedThread(t *testing.T) {
	hit := 0
	for round := 0; round < 5 && hit == 0; round++ {
		s := open(t, Config{Syscalls: []int{unix.SYS_GETPPID}, PIDs: []int{os.Getpid()}})
		var busy atomic.Bool
		busy.Store(true)
		var wg sync.WaitGroup
		for range runtime.NumCPU() {
			wg.Go(func() {
				for busy.Load() {
					unix.Getppid()
				}
			})
		}
		runtime.LockOSThread()
		tid := unix.Gettid()
		for range 30 {
			unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
		}
		runtime.UnlockOSThread()
		busy.Store(false)
		testenv.Within(t, "the threads that make calls", wg.Wait)
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		events, err := s.Read(source.End, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind != ktrace.Waking || e.Target != tid {
				continue
			}
			n := names(e.Stack)
			if !strings.HasPrefix(n, "try_to_wake_up < ") {
				t.Errorf("the wake-up of a sleeper is recorded with the chain %s", n)
			}
			if strings.Contains(n, "perf_tp_event") {
				hit++
			}
		}
	}
	t.Logf("%d wake-ups hit a thread while its event was written", hit)
}
