//go:build linux

package efd_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// traced returns what fn calls, on this goroutine's thread.
func traced(t testing.TB, fn func()) []*efd.Call {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := unix.Gettid()
	var calls []*efd.Call
	remove := efd.AddTracer(func(c *efd.Call) {
		if c.TID == tid {
			calls = append(calls, c)
		}
	})
	defer remove()
	fn()
	return calls
}

func texts(calls []*efd.Call) []string {
	var s []string
	for _, c := range calls {
		s = append(s, c.String())
	}
	return s
}

func TestTracerIsToldEachCall(t *testing.T) {
	e := newEventFD(t, 0, 0)
	before := time.Now()
	calls := traced(t, func() {
		e.Write(258)
		e.Read()
		e.Read()
		efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN | efd.POLLOUT}}, time.Second, nil)
	})
	fd := e.FD()
	if len(calls) != 4 {
		t.Fatalf("told %v, want 4 calls", texts(calls))
	}
	for i, want := range []string{
		fmt.Sprintf(`write(%d, "\2\1\0\0\0\0\0\0", 8) = 8`, fd),
		fmt.Sprintf(`read(%d, "\2\1\0\0\0\0\0\0", 8) = 8`, fd),
		"",
		fmt.Sprintf("ppoll([{fd=%d, events=POLLIN|POLLOUT}], 1, {tv_sec=1, tv_nsec=0}, NULL, 8) = 1 ([{fd=%d, revents=POLLOUT}], left {tv_sec=0, tv_nsec=", fd, fd),
	} {
		if got := strings.Replace(calls[i].String(), "_time64", "", 1); len(got) < len(want) || got[:len(want)] != want {
			if bigEndian && i < 2 {
				continue
			}
			t.Errorf("call %d: %s\nwant %s", i, got, want)
		}
	}
	if c := calls[2]; c.Errno != unix.EAGAIN || c.Ret != -1 || c.Args[1].Out != "" || c.Args[1].Name != "buf" {
		t.Errorf("empty read: %+v", c)
	}
	for _, c := range calls {
		if c.Start.Before(before) || c.Start.After(time.Now()) || c.Duration < 0 || c.Duration > time.Minute {
			t.Errorf("%v started at %v and took %v", c, c.Start, c.Duration)
		}
	}
}

var bigEndian = func() bool {
	switch runtime.GOARCH {
	case "mips", "mips64", "ppc64", "s390x":
		return true
	}
	return false
}()

// A wait that is repeated after a signal is as many calls.
func TestTracerIsToldRetries(t *testing.T) {
	e := newEventFD(t, 0, 0)
	var told atomic.Int32
	calls := traced(t, func() {
		tid := unix.Gettid()
		defer efd.AddTracer(func(c *efd.Call) {
			if c.TID == tid {
				told.Add(1)
			}
		})()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range int32(3) {
				waitAsleep(t, tid, callPpoll)
				unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
				waitFor(t, func() bool { return told.Load() > i }, "no interrupted call was told")
			}
			waitAsleep(t, tid, callPpoll)
			e.Signal()
		}()
		efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, time.Minute, nil)
		wait(t, done, "the signaller did not end")
	})
	if n := len(calls); n < 4 || calls[n-1].Ret != 1 {
		t.Fatalf("told %v, want interrupted calls and one that succeeds", texts(calls))
	}
	for i, c := range calls[:len(calls)-1] {
		if c.Errno != unix.EINTR {
			t.Errorf("call %d: %v", i, c)
			continue
		}
		left, next := toldTime(t, c.Args[2].Out), toldTime(t, calls[i+1].Args[2].In)
		if next > left || next < left-30*time.Second {
			t.Errorf("call %d: %v left %v, the next has %v", i, c, left, next)
		}
	}
}

// toldTime is a timespec as a call prints it.
func toldTime(t testing.TB, s string) time.Duration {
	t.Helper()
	var sec, nsec int64
	if _, err := fmt.Sscanf(s, "{tv_sec=%d, tv_nsec=%d}", &sec, &nsec); err != nil {
		t.Errorf("%q is no time: %v", s, err)
	}
	return time.Duration(sec)*time.Second + time.Duration(nsec)
}

func TestTracerCallsAreNotTold(t *testing.T) {
	e, other := newEventFD(t, 0, 0), newEventFD(t, 0, 0)
	n := 0
	calls := traced(t, func() {
		defer efd.AddTracer(func(c *efd.Call) {
			n++
			other.Signal()
			other.Read()
			runtime.Gosched()
			other.Info()
		})()
		e.Write(1)
	})
	if len(calls) != 1 || n != 1 {
		t.Errorf("told %v, and the other tracer %d times; want the one write", texts(calls), n)
	}
}

func TestManyTracersEachOwnCall(t *testing.T) {
	e := newEventFD(t, 0, 0)
	var mu sync.Mutex
	var got []*efd.Call
	for range 5 {
		defer efd.AddTracer(func(c *efd.Call) {
			mu.Lock()
			defer mu.Unlock()
			if c.Args[0].In == fmt.Sprint(e.FD()) {
				c.Args[0].In = "changed"
				got = append(got, c)
			}
		})()
	}
	e.Write(1)
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 5 {
		t.Fatalf("%d tracers were told, want 5", len(got))
	}
}

// remove works while calls are made, from a tracer too, and twice.
func TestTracerRemoveWhileCalling(t *testing.T) {
	e := newEventFD(t, 0, 0)
	var stop atomic.Bool
	var callers, changers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for !stop.Load() {
				e.Signal()
				e.Drain()
			}
		})
	}
	for range 4 {
		changers.Go(func() {
			for range 40 {
				told := make(chan struct{}, 1)
				var once sync.Once
				var remove func()
				ready := make(chan struct{})
				remove = efd.AddTracer(func(*efd.Call) {
					<-ready
					once.Do(func() { remove(); told <- struct{}{} })
				})
				close(ready)
				<-told
				remove()
			}
		})
	}
	testenv.Within(t, "whoever adds and removes tracers", changers.Wait)
	stop.Store(true)
	testenv.Within(t, "the callers", callers.Wait)
	if calls := traced(t, func() { e.Signal() }); len(calls) != 1 {
		t.Errorf("after all were removed, a new tracer was told %v", texts(calls))
	}
}

func TestCallPathNames(t *testing.T) {
	var e *efd.EventFD
	var p *efd.Epoll
	calls := traced(t, func() {
		var err1, err2 error
		e, err1 = efd.New(1, 0)
		p, err2 = efd.NewEpoll()
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		p.Add(e.FD(), efd.EPOLLIN, 0)
		p.Wait(make([]efd.EpollEvent, 1), 0, nil)
		p.BusyPoll()
		efd.Poll(nil, 0, nil)
		efd.Select(nil, nil, nil, 0, nil)
		e.Read()
		e.Write(1)
		p.Close()
		e.Close()
	})
	var names []string
	for _, c := range calls {
		names = append(names, c.Path().Name)
	}
	want := []string{"eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_ioctl", "ppoll", "pselect6", "eventfd_read", "eventfd_write", "epoll_release", "eventfd_release"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("paths of %v (-want +got):\n%s", texts(calls), d)
	}
}

func TestCallPathOfRunningKernel(t *testing.T) {
	e := newEventFD(t, 0, 0)
	calls := traced(t, func() { e.Write(1) })
	p := calls[0].Path()
	if p.Name != "eventfd_write" || p.Kernel == "" || p.DecidedBy == "" {
		t.Fatalf("Path = %+v", p)
	}
	for _, edge := range p.Edges {
		if edge.Callee == "eventfd_write" && edge.File != "" && edge.Kind != "" && edge.Verdict == "" {
			return
		}
	}
	t.Errorf("no edge calls eventfd_write: %+v", p.Edges)
}

// A call that failed has the path as far as the kernel got.
func TestCallPathOfFailure(t *testing.T) {
	empty, full, gone := newEventFD(t, 0, 0), newEventFD(t, 0, 0), newEventFD(t, 0, 0)
	check(t, full.Write(efd.MaxCount))
	p := newEpoll(t)
	check(t, p.Add(empty.FD(), efd.EPOLLIN, 0))
	file := newEventFD(t, 0, 0)
	closed := gone.FD()
	check(t, gone.Close())
	for name, c := range map[string]struct {
		call           func()
		errno          unix.Errno
		reached, never string
	}{
		"read":       {func() { empty.Read() }, unix.EAGAIN, "eventfd_read", "eventfd_ctx_do_read"},
		"write":      {func() { full.Write(1) }, unix.EAGAIN, "eventfd_write", "__wake_up_common"},
		"not failed": {func() { file.Write(1) }, 0, "__wake_up_common", ""},
		"twice":      {func() { p.Add(empty.FD(), efd.EPOLLIN, 0) }, unix.EEXIST, "do_epoll_ctl", "ep_insert"},
		"not in":     {func() { p.Delete(file.FD()) }, unix.ENOENT, "do_epoll_ctl", "ep_remove"},
		"not open":   {func() { p.Add(closed, efd.EPOLLIN, 0) }, unix.EBADF, "do_epoll_ctl", "eventfd_poll"},
		"select":     {func() { efd.Select(setOf(closed), nil, nil, 0, nil) }, unix.EBADF, "core_sys_select", "eventfd_poll"},
	} {
		call := traced(t, c.call)[0]
		var callees []string
		for _, e := range call.Path().Edges {
			callees = append(callees, e.Callee)
		}
		entry := slices.ContainsFunc(callees, func(f string) bool { return strings.HasSuffix(f, "_sys_"+strings.TrimSuffix(call.Syscall, "_time64")) })
		if call.Errno != c.errno || !entry || !slices.Contains(callees, c.reached) || slices.Contains(callees, c.never) {
			t.Errorf("%s: %v reaches %v; want %v, %s in it and %q not", name, call, callees, c.errno, c.reached, c.never)
		}
	}
}

func ExampleAddTracer() {
	e, err := efd.New(0, 0)
	if err != nil {
		panic(err)
	}
	defer e.Close()
	remove := efd.AddTracer(func(c *efd.Call) {
		if c.FD == e.FD() {
			fmt.Println(c.Syscall, "=", c.Ret)
		}
	})
	defer remove()
	e.Signal()
	e.Drain()
	// Output:
	// write = 8
	// read = 8
}

func BenchmarkWriteReadTraced(b *testing.B) {
	e := newEventFD(b, 0, 0)
	for _, tracers := range []int{0, 1} {
		b.Run(fmt.Sprint(tracers), func(b *testing.B) {
			for range tracers {
				defer efd.AddTracer(func(*efd.Call) {})()
			}
			b.ReportAllocs()
			for b.Loop() {
				e.Write(1)
				e.Read()
			}
		})
	}
}
