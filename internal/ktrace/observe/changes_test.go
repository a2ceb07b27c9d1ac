//go:build linux

package observe

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// TestNumberChangedBeforeTheQuestion: a wake is judged after its waker has gone
// on. What has its descriptor by then is not what it wrote to.
func TestNumberChangedBeforeTheQuestion(t *testing.T) {
	const arch = "amd64"
	call := func(o *Objects, name string, at int64, args ...uint64) {
		ev := &ktrace.Event{Kind: ktrace.SysEnter, PID: os.Getpid(), TID: unix.Gettid(), Time: at, Nr: syscallNumbers(arch, name)[0]}
		copy(ev.Args[:], args)
		o.event(ev)
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	pid, n := os.Getpid(), uint64(fd)
	for _, c := range []struct {
		name  string
		event func(o *Objects)
	}{
		{"dup2", func(o *Objects) { call(o, "dup2", 20, 0, n) }},
		{"close", func(o *Objects) { call(o, "close", 20, n) }},
		{"close_range", func(o *Objects) { call(o, "close_range", 20, n, n) }},
		{"execve", func(o *Objects) { call(o, "execve", 20) }},
		{"lost records", func(o *Objects) { o.lost(20) }},
	} {
		now := int64(30)
		o := newObjects(arch, func() int64 { return now })
		c.event(o)
		if got := o.ask(pid, unix.Gettid(), fd, 10); got != nil {
			t.Errorf("%s at 20: at 10 the number was %q, by what it is at 30", c.name, got.name(100))
		}
		if got := o.ask(pid, unix.Gettid(), fd, 25).name(100); got == "" {
			t.Errorf("%s at 20: nothing is known of the number at 25", c.name)
		}
	}
	// An answer of before stays that of the time before, and of no time earlier.
	now := int64(5)
	o := newObjects(arch, func() int64 { return now })
	call(o, "close", 3, n)
	want := o.ask(pid, unix.Gettid(), fd, 4).name(100)
	call(o, "dup2", 20, 0, n)
	now = 30
	o.ask(pid, unix.Gettid(), fd, 25)
	if got := o.ask(pid, unix.Gettid(), fd, 10).name(100); want == "" || got != want {
		t.Errorf("at 10 the number was %q, and was %q at 4", got, want)
	}
	if got := o.ask(pid, unix.Gettid(), fd, 2); got != nil {
		t.Errorf("at 2, before it was closed at 3, the number was %q", got.name(100))
	}
}

// TestRegistrationsChangedBeforeTheQuestion: those of now are not those of the
// time of a wake.
func TestRegistrationsChangedBeforeTheQuestion(t *testing.T) {
	const arch = "amd64"
	o := newObjects(arch, nil)
	k := fdKey{1, 0, 3}
	ctl := func(at int64, op, fd uint64) {
		ev := &ktrace.Event{Kind: ktrace.SysEnter, PID: 1, TID: 1, Time: at, Nr: syscallNumbers(arch, "epoll_ctl")[0], Args: [6]uint64{3, op, fd}}
		o.event(ev)
		ev.Kind, ev.Time = ktrace.SysExit, at+1
		o.event(ev)
	}
	o.epolls.made(k)
	ctl(10, unix.EPOLL_CTL_ADD, 5)
	ctl(20, unix.EPOLL_CTL_ADD, 7)
	ctl(30, unix.EPOLL_CTL_MOD, 7)
	if got := o.epolls.of(k, 25); len(got) != 2 {
		t.Errorf("at 25: %v, want 5 and 7", got)
	}
	ctl(40, unix.EPOLL_CTL_DEL, 7)
	if got := o.epolls.of(k, 35); got != nil {
		t.Errorf("at 35, before 7 was taken out: %v", got)
	}
	if got := o.epolls.of(k, 50); len(got) != 1 {
		t.Errorf("at 50: %v, want 5", got)
	}
	o.event(&ktrace.Event{Kind: ktrace.SysEnter, PID: 1, TID: 1, Time: 60, Nr: syscallNumbers(arch, "epoll_ctl")[0], Args: [6]uint64{3, unix.EPOLL_CTL_ADD, 9}})
	if got := o.epolls.of(k, 65); got != nil {
		t.Errorf("while 9 comes in: %v", got)
	}
}

// TestFileNames: a file is called by its whole path.
func TestFileNames(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "a:b")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	o := newObjects("amd64", func() int64 { return 1 })
	if got, want := o.ask(os.Getpid(), unix.Gettid(), fd, 1).what, name+" "; len(got) <= len(want) || got[:len(want)] != want {
		t.Errorf("a FIFO is called %q, want %q and its number", got, want)
	}
}
