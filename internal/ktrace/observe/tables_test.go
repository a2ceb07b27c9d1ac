//go:build linux

package observe

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// idOf is what the kernel says of a descriptor of the calling thread.
func idOf(t *testing.T, fd int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/thread-self/fdinfo/%d", fd))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "eventfd-id:"); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Skip("this kernel does not tell an eventfd's id (5.2)")
	return ""
}

// A thread with a table of its own has its own descriptors under the numbers
// of the others.
func TestThreadWithItsOwnTable(t *testing.T) {
	var fds [2]int
	var ids [2]string
	for i := range fds {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		fds[i], ids[i] = fd, idOf(t, fd)
	}
	runtime.LockOSThread() // the other thread is not this one
	defer runtime.UnlockOSThread()
	pid, me, now := os.Getpid(), unix.Gettid(), int64(10)
	o := newObjects(runtime.GOARCH, func() int64 { return now })
	if got := o.ask(pid, me, fds[0], 10).name(10); !strings.HasSuffix(got, "(id "+ids[0]+")") {
		t.Fatalf("%s, want id %s", got, ids[0])
	}
	done := make(chan error, 1)
	tid := make(chan int, 1)
	end := make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its table
		err := unix.Unshare(unix.CLONE_FILES)
		if err == nil {
			err = unix.Dup3(fds[1], fds[0], unix.O_CLOEXEC)
		}
		tid <- unix.Gettid()
		done <- err
		<-end
	}()
	defer close(end)
	thread := testenv.Receive(t, tid, "the number of the other thread")
	if err := testenv.Receive(t, done, "the table of the other thread"); err != nil {
		t.Fatal(err)
	}
	nr := syscallNumbers(runtime.GOARCH, "unshare")
	if len(nr) == 0 {
		t.Skip("system calls have no names here: " + runtime.GOARCH)
	}
	now = 30
	before := o.ask(pid, me, fds[0], 15) // and the thread parts at 20
	o.event(&ktrace.Event{Kind: ktrace.SysEnter, PID: pid, TID: thread, Time: 20, Nr: nr[0], Args: [6]uint64{unix.CLONE_FILES}})
	if got := before.name(30); got != "" && !strings.HasSuffix(got, "(id "+ids[0]+")") {
		t.Errorf("%s is said of a number that was asked about after a thread parted from it", got)
	}
	now = 40
	for who, want := range map[int]string{thread: ids[1], me: ids[0]} {
		if got := o.ask(pid, who, fds[0], 40).name(40); !strings.HasSuffix(got, "(id "+want+")") {
			t.Errorf("thread %d of %d: %s, want id %s", who, pid, got, want)
		}
	}
}

// What a call changes of numbers that others have too, or that no event tells
// of, leaves them without a name for the time before.
func TestNumbersOfOthers(t *testing.T) {
	arch := "amd64"
	nr := func(name string) int { return syscallNumbers(arch, name)[0] }
	for what, c := range map[string]struct {
		first  *ktrace.Event
		change ktrace.Event
	}{
		"close in a process with the same table": {&ktrace.Event{Nr: nr("clone"), PID: 1, Args: [6]uint64{unix.CLONE_FILES | uint64(unix.SIGCHLD)}}, ktrace.Event{Nr: nr("close"), PID: 2, Args: [6]uint64{7}}},
		"dup2 in a process with the same table":  {&ktrace.Event{Nr: nr("clone"), PID: 1, Args: [6]uint64{unix.CLONE_FILES}}, ktrace.Event{Nr: nr("dup2"), PID: 2, Args: [6]uint64{3, 7}}},
		"close_range":                            {nil, ktrace.Event{Nr: nr("close_range"), PID: 1, Args: [6]uint64{0, 100}}},
		"close_range of a copy":                  {nil, ktrace.Event{Nr: nr("close_range"), PID: 1, Args: [6]uint64{0, 100, unix.CLOSE_RANGE_UNSHARE}}},
		"requests of an io_uring":                {nil, ktrace.Event{Nr: nr("io_uring_enter"), PID: 1, Args: [6]uint64{9, 1}}},
		"unshare":                                {nil, ktrace.Event{Nr: nr("unshare"), PID: 1, Args: [6]uint64{unix.CLONE_FILES}}},
	} {
		o := newObjects(arch, func() int64 { return 30 })
		if c.first != nil {
			c.first.Kind, c.first.TID, c.first.Time = ktrace.SysEnter, c.first.PID, 10
			o.event(c.first)
		}
		ob := &object{what: "eventfd 7", kind: "eventfd", asked: 30, idAsked: 30}
		o.keep(o.key(1, 1, 7), ob)
		c.change.Kind, c.change.TID, c.change.Time = ktrace.SysEnter, c.change.PID, 20
		o.event(&c.change)
		if got := ob.name(40); got != "" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// A socket and a pipe wake who is at the other end: only what the sleeper is
// known to wait on is what the wake happened on.
func TestOnWhat(t *testing.T) {
	named := func(what string) *object {
		kind, _, _ := strings.Cut(what, " ")
		return &object{what: what, kind: kind, id: "5"}
	}
	for _, c := range []struct {
		source, waker string
		on            []string
		object, by    string
	}{
		{"unix", "socket 3", []string{"socket 4", "pipe 5"}, "socket 4", "socket 3"},
		{"pipe", "pipe 6", []string{"socket 4", "pipe 5"}, "pipe 5", "pipe 6"},
		{"unix", "socket 3", []string{"socket 4", "socket 8"}, "", "socket 3"},
		{"unix", "socket 3", nil, "", "socket 3"},
		{"eventfd_write", "eventfd 3", nil, "eventfd 3 (id 5)", ""},
		{"eventfd_write", "eventfd 3", []string{"eventfd 9"}, "eventfd 9 (id 5)", ""},
		{"pty", "/dev/ptmx 3", []string{"/dev/pts/1 4"}, "/dev/pts/1 4 (id 5)", "/dev/ptmx 3 (id 5)"},
		{"pipe", "/tmp/fifo 3", []string{"socket 4", "/tmp/fifo 5"}, "/tmp/fifo 5 (id 5)", "/tmp/fifo 3 (id 5)"},
		{"pipe", "/tmp/fifo 3", []string{"pipe 4", "/tmp/fifo 5"}, "", "/tmp/fifo 3 (id 5)"},
	} {
		h := &pending{j: &Judged{Wake: &Wake{}, WakePaths: []string{c.source}}, ob: named(c.waker)}
		for _, o := range c.on {
			h.on = append(h.on, named(o))
		}
		for _, o := range append(h.on, h.ob) {
			if o.kind == "socket" || o.kind == "pipe" {
				o.id = ""
			}
		}
		p := &Pipeline{t: NewTracker(), objects: newObjects("amd64", nil)}
		p.t.now = 1
		p.name(h)
		if h.j.Object != c.object || h.j.By != c.by {
			t.Errorf("%s by %s of %v: on %q by %q, want on %q by %q", c.source, c.waker, c.on, h.j.Object, h.j.By, c.object, c.by)
		}
	}
}

// syscallNumbers are the numbers of a call, none if the architecture has no
// such call.
func syscallNumbers(arch, name string) []int {
	return catalog.DefaultModel().Arch(arch).Numbers(func(c *catalog.Call) bool { return c.Name == name })
}
