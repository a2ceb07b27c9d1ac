//go:build linux

package ftrace

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/sigblock"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

func open(t *testing.T, c Config) *Source {
	t.Helper()
	syms, err := ksym.Load()
	testenv.Require(t, "kallsyms", err)
	c.Symbols = syms
	begin := time.Now()
	s, err := Open(c)
	if ae, ok := errors.AsType[*ktrace.AccessError](err); ok {
		if strings.Contains(err.Error(), "\n") || ae.Change == "" {
			t.Errorf("error is no sentence with a remedy: %v", err)
		}
		testenv.Require(t, ae.Tier, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %v: %s, %v", time.Since(begin), s.Tracer(), s.Traced())
	return s
}

func names(stack []ktrace.Frame) string {
	var n []string
	for _, f := range stack {
		n = append(n, f.Name)
	}
	return strings.Join(n, " < ")
}

// An eventfd with a waiter is written to. The function tracer shows who
// returns to whom, function_graph who calls whom, jumps included.
func TestWrite(t *testing.T) {
	for name, noGraph := range map[string]bool{"best": false, "function": true} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{Functions: []string{"eventfd_write", "__wake_up_locked_key", "__wake_up_common", "no_such_function"}, Tasks: []int{os.Getpid()}, NoGraph: noGraph})
			fd := eventfd(t)
			ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(ep)
			if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
				t.Fatal(err)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tid, before := unix.Gettid(), source.Now()
			if err := add(fd); err != nil {
				t.Fatal(err)
			}
			after := source.Now()
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			ev, err := s.Read(source.End, nil)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]string{}
			for _, e := range ev {
				if e.TID == tid && e.Time >= before-1000 && e.Time <= after {
					seen[e.Stack[0].Name] = names(e.Stack)
					if e.PID != os.Getpid() || e.Comm == "" {
						t.Errorf("%+v", e)
					}
				}
			}
			want := map[string]string{"eventfd_write": "eventfd_write < ", "__wake_up_locked_key": "__wake_up_locked_key < eventfd_write", "__wake_up_common": "__wake_up_common < "}
			if s.Tracer() == Graph {
				want = map[string]string{"eventfd_write": "eventfd_write", "__wake_up_common": "__wake_up_common < __wake_up_locked_key < eventfd_write"}
			}
			for fn, w := range want {
				if !strings.HasPrefix(seen[fn], w) {
					t.Errorf("%s: %q, want %q", fn, seen[fn], w)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("losses %v, %d events: %v", s.Losses(), len(ev), seen)
			}
		})
	}
}

// Two threads take turns, and of each the tracer tells what it entered, though
// the pipe is read meanwhile and one's entry is often the last before the
// other's.
func TestEachThreadsEntries(t *testing.T) {
	s := open(t, Config{Functions: []string{"eventfd_read", "eventfd_write"}, Paused: true})
	const rounds = 3000
	ping, pong := eventfd(t), eventfd(t)
	tids, begin, ended := make(chan int), make(chan struct{}), make(chan error)
	turns := func(step func() error) {
		runtime.LockOSThread() // and not unlocked: the thread ends with its mask
		// A signal of Go's runtime would have a read enter eventfd_read once more.
		_, err := sigblock.All()
		tids <- unix.Gettid()
		<-begin
		for i := 0; i < rounds && err == nil; i++ {
			err = step()
		}
		ended <- err
	}
	go turns(func() error { return errors.Join(add(ping), take(pong)) })
	go turns(func() error { return errors.Join(take(ping), add(pong)) })
	threads := []int{testenv.Receive(t, tids, "the first thread"), testenv.Receive(t, tids, "the second thread")}
	if err := s.Resume(threads, nil); err != nil {
		t.Fatal(err)
	}
	entered, lost := map[string]int{}, []ktrace.Loss(nil)
	done, read := make(chan struct{}), make(chan error)
	go func() {
		read <- source.Run(s, time.Millisecond, done, func(ev []ktrace.Event, l []ktrace.Loss) error {
			lost = append(lost, l...)
			for _, e := range ev {
				entered[fmt.Sprint(e.TID, " ", e.Stack[0].Name)]++
			}
			return nil
		})
	}()
	close(begin)
	err := errors.Join(testenv.Receive(t, ended, "the end of one thread"), testenv.Receive(t, ended, "the end of the other"))
	close(done)
	if err := errors.Join(err, testenv.Receive(t, read, "the end of the reading"), s.Close()); err != nil {
		t.Fatal(err)
	}
	if lost != nil {
		t.Skipf("records were lost: %v", lost)
	}
	for _, tid := range threads {
		for _, f := range s.Traced() {
			if n := entered[fmt.Sprint(tid, " ", f)]; n != rounds {
				t.Errorf("thread %d entered %s %d times of %d", tid, f, n, rounds)
			}
		}
	}
}

func eventfd(t *testing.T) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func add(fd int) error {
	_, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

func take(fd int) error {
	_, err := unix.Read(fd, make([]byte, 8))
	return err
}

func TestProbe(t *testing.T) {
	err := Probe()
	if err == nil {
		return
	}
	ae, ok := errors.AsType[*ktrace.AccessError](err)
	if !ok || strings.Contains(err.Error(), "\n") {
		t.Fatalf("error is no sentence: %v", err)
	}
	testenv.Require(t, ae.Tier, err)
}

// What does not fit into one reading is let go, said to be lost in that time,
// and after it the tracer goes on.
func TestBounded(t *testing.T) {
	s := open(t, Config{Functions: []string{"eventfd_write"}, Tasks: []int{os.Getpid()}, NoGraph: true, Most: 1})
	defer s.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	write := func(n int) {
		for range n {
			if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := source.Now()
	const many = 5000
	write(many)
	after := source.Now()
	ev, err := s.Read(source.End, nil)
	if err != nil {
		t.Fatal(err)
	}
	var lost uint64
	for _, l := range s.Losses() {
		lost += l.Count
		if l.From > after || l.To < after || l.Source != Function {
			t.Errorf("lost %d from %d to %d, and the writes ended at %d", l.Count, l.From, l.To, after)
		}
		for _, e := range ev {
			if e.Time < before-1000 || e.Time > l.From+1000 {
				t.Errorf("an event at %d, and from %d on all is lost", e.Time, l.From)
			}
		}
	}
	if len(ev) == 0 || lost == 0 || uint64(len(ev))+lost < many {
		t.Errorf("%d events and %d lost of %d", len(ev), lost, many)
	}
	write(1)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if ev, err := s.Read(source.End, nil); err != nil || len(ev) == 0 {
		t.Errorf("%d events after a loss, %v", len(ev), err)
	}
}
