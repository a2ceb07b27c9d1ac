//go:build linux

package watch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// alone takes the processor's watchpoints for a test, once.
var alone lockOnce

type lockOnce struct{ test string }

func (l *lockOnce) Do(t testing.TB) {
	if l.test != t.Name() {
		testenv.Exclusive(t, "watchpoints")
		l.test = t.Name()
		t.Cleanup(func() { l.test = "" })
	}
}

var loadSymbols = sync.OnceValues(ksym.Load)

func open(t testing.TB, c Config) *Source {
	t.Helper()
	alone.Do(t)
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

func eventfd() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) }

// pollOnce lets a thread sleep in ppoll on the eventfd and writes to it.
func pollOnce(t testing.TB, fd int) (waker, wakee int) {
	t.Helper()
	tids, done := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tids <- unix.Gettid()
		// A signal of the runtime would make it wait twice.
		fds, blocked := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, ^uint64(0)
		var err error
		if _, _, no := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), 1, 0, uintptr(unsafe.Pointer(&blocked)), 8, 0); no != 0 {
			err = no
		}
		done <- err
	}()
	wakee = testenv.Receive(t, tids, "the waiting thread")
	testenv.AwaitAsleep(t, wakee, unix.SYS_PPOLL)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if err := testenv.Receive(t, done, "the end of ppoll"); err != nil {
		t.Fatal(err)
	}
	return unix.Gettid(), wakee
}

func finish(t testing.TB, s *Source) []ktrace.Event {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	ev, err := s.Read(source.End, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Losses(); len(l) > 0 {
		t.Fatalf("lost: %+v", l)
	}
	return ev
}

func has(ev []ktrace.Event, tid, object int, field string, frames ...string) bool {
	return slices.ContainsFunc(ev, func(e ktrace.Event) bool {
		n := names(e.Stack)
		for _, f := range frames {
			i := strings.Index(n, f)
			if i < 0 {
				return false
			}
			n = n[i+len(f):]
		}
		return e.Kind == ktrace.Watch && e.TID == tid && e.Object == object && e.Field == field
	})
}

func TestEventfd(t *testing.T) {
	s := open(t, Config{})
	fd, armed, err := s.Eventfd(eventfd)
	if err != nil || !armed {
		t.Fatalf("Eventfd: armed %v, %v", armed, err)
	}
	id := eventfdID(fd)
	waker, wakee := pollOnce(t, fd)
	unix.Close(fd)
	ev := finish(t, s)
	for _, want := range []struct {
		tid    int
		field  string
		frames []string
	}{
		{waker, FieldCount, []string{"eventfd_write ", "vfs_write "}},
		{waker, FieldLock, []string{"eventfd_write ", "vfs_write "}},
		{wakee, FieldLock, []string{"add_wait_queue ", "do_sys_poll "}},
		{wakee, FieldLock, []string{"remove_wait_queue ", "do_sys_poll "}},
	} {
		if !has(ev, want.tid, id, want.field, want.frames...) {
			t.Errorf("no write to %s with %v", want.field, want.frames)
		}
	}
	if t.Failed() {
		for _, e := range ev {
			t.Logf("kind %d tid %d object %d %s: %s", e.Kind, e.TID, e.Object, e.Field, names(e.Stack))
		}
	}
	// Taking and releasing the lock are one event.
	taken := map[string]int{}
	for _, e := range ev {
		if e.Field == FieldLock {
			taken[names(e.Stack)]++
			if n := names(e.Stack); strings.Contains(n, "spin") {
				t.Errorf("%s: of the lock", n)
			}
		}
	}
	for stack, n := range taken {
		if n != 1 {
			t.Errorf("%d times: %s", n, stack)
		}
	}
	if ev[0].Kind != ktrace.Alloc || !strings.Contains(names(ev[0].Stack), "eventfd") || ev[0].Object != id {
		t.Errorf("first event: %+v", ev[0])
	}
}

// Two eventfds fit into the processor's four watchpoints; the third is not
// watched, and is again when one of the others has ended.
func TestExhausted(t *testing.T) {
	s := open(t, Config{})
	var fds []int
	armed := 0
	for range 3 {
		fd, ok, err := s.Eventfd(eventfd)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
		if ok {
			armed++
		}
	}
	if armed == 3 || !s.Exhausted() {
		t.Skipf("this processor has more than four watchpoints: %d eventfds watched", armed)
	}
	unix.Close(fds[0])
	// The end of an eventfd comes with RCU or at once, but soon.
	testenv.Until(t, "the end of a watched eventfd", func() bool {
		if _, err := s.Read(source.Now(), nil); err != nil {
			t.Fatal(err)
		}
		return s.Watched() < armed
	})
	fd, ok, err := s.Eventfd(eventfd)
	if err != nil || !ok {
		t.Errorf("after the end of one: armed %v, %v", ok, err)
	}
	unix.Close(fd)
}

// Whoever writes to the memory of an eventfd that is gone is not reported as
// writing to the eventfd.
func TestFreed(t *testing.T) {
	s := open(t, Config{})
	fd, armed, err := s.Eventfd(eventfd)
	if err != nil || !armed {
		t.Fatalf("Eventfd: armed %v, %v", armed, err)
	}
	unix.Close(fd)
	for range 100 { // the memory is taken again, most likely by these
		f, err := unix.Eventfd(7, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(f)
	}
	for _, e := range finish(t, s) {
		if e.Kind == ktrace.Watch && !strings.Contains(names(e.Stack), "eventfd") {
			t.Errorf("tid %d %s: %s", e.TID, e.Field, names(e.Stack))
		}
		if e.Kind == ktrace.Watch && strings.Contains(names(e.Stack), "do_eventfd") {
			t.Errorf("another eventfd passes for the first: %s", names(e.Stack))
		}
	}
}

func TestWanted(t *testing.T) {
	pid := os.Getpid()
	s := open(t, Config{Wanted: func(p, _ int) bool { return p == pid }, Ring: 2 << 20})
	fd, err := eventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	testenv.Until(t, "a new eventfd to be watched", func() bool {
		if _, err := s.Read(source.Now()-int64(source.Horizon), nil); err != nil {
			t.Fatal(err)
		}
		return s.Watched() > 0
	})
	waker, _ := pollOnce(t, fd)
	found := false
	for _, e := range finish(t, s) {
		found = found || e.Kind == ktrace.Watch && e.TID == waker && e.Object < 0 && e.Field == FieldCount
	}
	if !found {
		t.Error("the write is not seen")
	}
}

func TestNothingLeftOpen(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	open(t, Config{}).Close()
	before := count()
	s := open(t, Config{})
	fd, _, err := s.Eventfd(eventfd)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

const beKilled = "EFD_TEST_WATCH_AND_WAIT"

func TestMain(m *testing.M) {
	if os.Getenv(beKilled) != "" {
		watchAndWait()
	}
	os.Exit(m.Run())
}

// watchAndWait takes all watchpoints, says so and waits to be killed.
func watchAndWait() {
	syms, err := ksym.Load()
	var s *Source
	if err == nil {
		s, err = Open(Config{Symbols: syms})
	}
	for err == nil && !s.Exhausted() {
		_, _, err = s.Eventfd(eventfd)
	}
	fmt.Println(err)
	for { // select {} would be a deadlock, which ends the program
		unix.Pause()
	}
}

// Whoever is killed leaves no watchpoint, no mount and no instance behind.
func TestKilled(t *testing.T) {
	runtime.LockOSThread() // Pdeathsig looks at the thread
	defer runtime.UnlockOSThread()
	s := open(t, Config{})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), beKilled+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, cmd)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "<nil>\n" {
		t.Fatalf("%q, %v", line, err)
	}
	fd, armed, err := s.Eventfd(eventfd)
	if err != nil || armed {
		t.Fatalf("armed %v, %v, although another process has all watchpoints", armed, err)
	}
	unix.Close(fd)
	cmd.Process.Kill()
	cmd.Wait()
	fd, armed, err = s.Eventfd(eventfd)
	if err != nil || !armed {
		t.Errorf("after its death: armed %v, %v", armed, err)
	}
	unix.Close(fd)
	if after, _ := os.ReadFile("/proc/self/mountinfo"); !bytes.Equal(mounts, after) {
		t.Errorf("the mount table changed:\n%s", after)
	}
}

func TestOpenRefused(t *testing.T) {
	if _, err := Open(Config{}); err == nil {
		t.Error("Open without symbols works")
	}
	if err := Probe(); err != nil {
		ae, ok := errors.AsType[*ktrace.AccessError](err)
		if !ok || ae.Tier != "watch" && ae.Tier != "perf" || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is no sentence: %v", err)
		}
	}
}
