//go:build linux

package waiters

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// asChild makes this program the one whose waits are shown.
const asChild = "EFD_WAITERS_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		child()
	}
	os.Exit(m.Run())
}

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return v
}

// child makes files and sleeps in a thread each: it prints "NAME FD..." for
// each file, then "TID NAME" for each thread, and ends with its standard input.
func child() {
	thread := func(name string, wait func()) {
		tid := make(chan int)
		go func() {
			runtime.LockOSThread()
			tid <- unix.Gettid()
			wait()
		}()
		fmt.Println("thread", name, <-tid)
	}
	eventfd := func(n uint) int { return must(unix.Eventfd(n, unix.EFD_CLOEXEC)) }
	polled, taken, edge, once, left := eventfd(0), eventfd(0), eventfd(3), eventfd(1), eventfd(9)
	var full [2]int
	must(0, unix.Pipe2(full[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	for {
		if _, err := unix.Write(full[1], make([]byte, 4096)); err != nil {
			break
		}
	}
	must(0, unix.SetNonblock(full[1], false))
	ep := must(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	add := func(fd int, events uint32) {
		must(0, unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}))
	}
	add(polled, unix.EPOLLIN)
	add(edge, unix.EPOLLIN|unix.EPOLLET)
	add(once, unix.EPOLLIN|unix.EPOLLONESHOT)
	out := make([]unix.EpollEvent, 8)
	must(unix.EpollWait(ep, out, 0)) // hands edge and once out
	fmt.Println("fds", polled, taken, edge, once, left, full[1], ep)
	thread("ppoll", func() { unix.Poll([]unix.PollFd{{Fd: int32(polled), Events: unix.POLLIN}}, -1) })
	thread("read", func() { unix.Read(taken, make([]byte, 8)) })
	thread("epoll", func() { unix.EpollWait(ep, out, -1) })
	thread("write", func() { unix.Write(full[1], make([]byte, 4096)) })
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// waiting is a child that sleeps.
type waiting struct {
	pid                                       int
	polled, taken, edge, once, left, full, ep int
	threads                                   map[string]int
}

func start(t *testing.T) *waiting {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=1")
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, cmd)
	t.Cleanup(func() { end(cmd) })
	w := &waiting{pid: cmd.Process.Pid, threads: map[string]int{}}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for {
		l := testenv.Receive(t, lines, "the files and threads of the child")
		if l == "ready" {
			break
		}
		name := ""
		n := 0
		if _, err := fmt.Sscanf(l, "thread %s %d", &name, &n); err == nil {
			w.threads[name] = n
		} else if _, err := fmt.Sscanf(l, "fds %d %d %d %d %d %d %d", &w.polled, &w.taken, &w.edge, &w.once, &w.left, &w.full, &w.ep); err != nil {
			t.Fatalf("the child said %q", l)
		}
	}
	return w
}

func open(t *testing.T) *Looker {
	t.Helper()
	l, err := Open()
	testenv.Require(t, "bpf", err)
	t.Cleanup(func() { l.Close() })
	return l
}

func (r *Report) at(pid, fd int) *Object {
	for _, o := range r.Objects {
		if slices.ContainsFunc(o.Holders, func(h Holder) bool { return h.PID == pid && h.FD == fd }) {
			return o
		}
	}
	return nil
}

func (o *Object) of(tid int) *Entry {
	if o == nil {
		return nil
	}
	for _, e := range o.Queue {
		if e.TID == tid || e.Epoll != nil && slices.Contains(e.Epoll.Sleepers, tid) {
			return e
		}
	}
	return nil
}

// The queues of a process have the entries that its threads put there, and no
// others, and the conclusions name each wait.
func TestLook(t *testing.T) {
	l := open(t)
	w := start(t)
	var r *Report
	testenv.Until(t, "all four threads on the queues", func() bool {
		var err error
		if r, err = l.Look(w.pid); err != nil {
			t.Fatal(err)
		}
		r.Only(w.pid, -1)
		asleep := func(fd int, thread string) bool {
			e := r.at(w.pid, fd).of(w.threads[thread])
			return e != nil && (e.Syscall != "" || e.Epoll != nil)
		}
		return asleep(w.polled, "ppoll") && asleep(w.taken, "read") && asleep(w.polled, "epoll") && asleep(w.full, "write")
	})
	o := r.at(w.pid, w.polled)
	if o.Kind != "eventfd" || *o.State.Count != 0 || o.ID == nil || len(o.Queue) != 2 || o.Torn || len(o.Holders) != 1 {
		t.Errorf("the polled eventfd: %+v", o)
	}
	e := o.of(w.threads["ppoll"])
	if e.Callback != "pollwake" || e.PID != w.pid || e.Events != "POLLIN" || e.Exclusive || !strings.HasSuffix(e.Syscall, "poll") || strings.Join(e.Path, " ") != "eventfd_poll __pollwait add_wait_queue" {
		t.Errorf("poll's entry: %+v", e)
	}
	e = o.of(w.threads["epoll"])
	if e.Callback != "ep_poll_callback" || e.Epoll.FD != w.polled || e.Epoll.Events != "EPOLLIN" || int(e.Epoll.Data) != w.polled || e.Epoll.Holders[0].FD != w.ep {
		t.Errorf("epoll's entry: %+v %+v", e, e.Epoll)
	}
	if e := r.at(w.pid, w.taken).of(w.threads["read"]); e.Syscall != "read" {
		t.Errorf("read's entry: %+v", e)
	}
	if o := r.at(w.pid, w.ep); *o.State.Items != 3 || len(o.State.Ready) != 0 {
		t.Errorf("the epoll: %+v", o.State)
	}
	want := map[string]string{
		fmt.Sprintf("eventfd %d ", w.left):            Unattended,
		fmt.Sprintf("eventfd %d ", w.edge):            Unattended,
		fmt.Sprintf("eventfd %d ", w.once):            Unattended,
		fmt.Sprintf("thread %d ", w.threads["ppoll"]): WaitsFor,
		fmt.Sprintf("thread %d ", w.threads["read"]):  WaitsFor,
		fmt.Sprintf("thread %d ", w.threads["write"]): WaitsFor,
		fmt.Sprintf("thread %d ", w.threads["epoll"]): WaitsFor,
	}
	for start, code := range want {
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == code && strings.HasPrefix(f.Text, start) }) {
			t.Errorf("no %s of %q: %+v", code, start, r.Findings)
		}
	}
	for _, f := range r.Findings {
		if f.Code == LostWake || f.Code == NoWaker {
			t.Errorf("%s is false: %s", f.Code, f.Text)
		}
	}
}

// A process of one thread that waits for itself is found, and a process that
// another can wake is not.
func TestNoWaker(t *testing.T) {
	l := open(t)
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("sh is not installed")
	}
	for _, alone := range []bool{true, false} {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		r, w := os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
		cmd := exec.Command("sh", "-c", "read x <&3")
		cmd.ExtraFiles = []*os.File{r, w}
		testenv.Start(t, cmd)
		t.Cleanup(func() { end(cmd) })
		r.Close()
		if alone {
			w.Close()
		}
		look := func() *Report {
			rep, err := l.Look(cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			rep.Only(cmd.Process.Pid, 3)
			return rep
		}
		testenv.Until(t, "the shell in its read", func() bool {
			return slices.ContainsFunc(look().Findings, func(f Finding) bool { return f.Code == WaitsFor })
		})
		rep := look() // it sleeps from now on
		if found := slices.ContainsFunc(rep.Findings, func(f Finding) bool { return f.Code == NoWaker }); found != alone {
			t.Errorf("alone %v: %+v", alone, rep.Findings)
		}
		w.Close()
	}
}

// end ends a program that waits for ever.
func end(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// Queues that change all the time give no entry of a thread that never waits,
// and no state that never was.
func TestQueuesUnderChange(t *testing.T) {
	l := open(t)
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	tids := make(chan int, 4)
	done := make(chan struct{})
	ended := make(chan struct{}, 4)
	for range 4 {
		go func() {
			runtime.LockOSThread()
			tids <- unix.Gettid()
			var ts unix.Timespec
			for {
				select {
				case <-done:
					ended <- struct{}{}
					return
				default:
					ts.Nsec = 20000
					unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, &ts, nil)
				}
			}
		}()
	}
	own := map[int]bool{}
	for range 4 {
		own[testenv.Receive(t, tids, "a thread that polls")] = true
	}
	looks, seen := 100, 0
	if testenv.Slow() {
		looks = 10
	}
	for range looks {
		s, err := l.Snapshot(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		r := Build(s)
		o := r.at(os.Getpid(), fd)
		if o == nil || *o.State.Count != 0 {
			t.Fatalf("the eventfd: %+v", o)
		}
		for _, e := range o.Queue {
			if e.Callback != "pollwake" || !own[e.TID] || e.Events != "POLLIN" {
				t.Fatalf("an entry that never was: %+v", e)
			}
			seen++
		}
		for _, f := range r.Findings {
			if f.Code == LostWake && slices.Contains(f.objects, o) {
				t.Fatalf("false: %s", f.Text)
			}
		}
	}
	close(done)
	for range 4 {
		testenv.Receive(t, ended, "the end of a thread that polls")
	}
	if seen == 0 {
		t.Error("no entry was seen")
	}
	t.Logf("%d entries in %d looks", seen, looks)
}
