//go:build linux

package efd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// needStrace ends the test where there is no strace 6.1: others print some
// arguments in another form.
func needStrace(t testing.TB) string {
	t.Helper()
	if testenv.Emulated() {
		t.Skip("strace cannot run a program of another processor")
	}
	path, err := exec.LookPath("strace")
	if err == nil {
		var out []byte
		if out, err = exec.Command(path, "-V").Output(); err == nil && !bytes.HasPrefix(out, []byte("strace -- version 6.1\n")) {
			line, _, _ := bytes.Cut(out, []byte("\n"))
			err = fmt.Errorf("%s: want version 6.1", line)
		}
	}
	testenv.Require(t, "strace", err)
	return path
}

// The helper marks its place in strace's log by calls that cannot succeed.
const (
	markCall  = 100_000_000 // + number of the Call just told
	markBegin = 200_000_001
	markEnd   = 200_000_002
	markHide  = 200_000_003 // what follows is not the package's
	markShow  = 200_000_004
)

func mark(n int) { unix.Getpgid(n) }

type toldCall struct {
	Seq, TID int
	Text     string
}

// TestStraceHelper is the program that runs under strace. It makes every call
// of the package with every outcome that can be had, and writes what the
// tracer was told.
func TestStraceHelper(t *testing.T) {
	file := os.Getenv("EFD_STRACE_HELPER")
	if file == "" {
		t.Skip("runs as a child of TestCallsPrintAsStraceDoes")
	}
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // it would poll the runtime's epoll, on any thread
	h := &straceHelper{own: file + ".own"}
	must(0, os.WriteFile(h.own, nil, 0o600))
	remove := AddTracer(h.told)
	mark(markBegin)
	h.script()
	mark(markEnd)
	remove()
	h.mu.Lock()
	b, err := json.Marshal(h.calls)
	h.mu.Unlock()
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

type straceHelper struct {
	own string // a file of ours

	mu    sync.Mutex
	calls []toldCall
}

func (h *straceHelper) told(c *Call) {
	h.mu.Lock()
	seq := len(h.calls)
	h.calls = append(h.calls, toldCall{seq, c.TID, c.String()})
	h.mu.Unlock()
	mark(markCall + seq)
}

// hide runs what makes calls of its own.
func hide[T any](fn func() T) T {
	mark(markHide)
	v := fn()
	mark(markShow)
	return v
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (h *straceHelper) script() {
	h.eventfdCalls()
	h.fcntlCalls()
	h.pollCalls()
	h.selectCalls()
	h.epollCalls()
	h.signalCalls()
	h.interrupted()
	h.otherThreads()
	h.throughHandles()
	h.fullTable()
}

func (h *straceHelper) eventfdCalls() {
	for bit := range 32 {
		if fd, errno := callEventfd2(uint32(bit), 1<<bit); errno == 0 {
			callClose(fd)
		}
	}
	fd, _ := callEventfd2(math.MaxUint32, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE)
	var v uint64
	callRead(fd, &v, false)
	callClose(fd)
	callClose(fd)
	callClose(-1)
	fd, _ = callEventfd2(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	callRead(fd, &v, true)
	for _, v := range []uint64{0, 1, 7, 8, 0x0a0d22, 0x5c225c, 0x4142434430313233, 0x3900380037003600, 0x7f808182ff, MaxCount, math.MaxUint64} {
		callWrite(fd, &v, false)
		callWrite(fd, &v, true)
		callRead(fd, &v, false)
	}
	v = 3
	callWrite(fd, &v, false)
	callPreadv2(fd, &v)
	callPreadv2(fd, &v)
	callPreadv2(-1, &v)
	callRead(fd+1000, &v, false)
	callWrite(-1, &v, false)
	path := append([]byte("/proc/self/fdinfo/"), strconv.Itoa(fd)...)
	info, _ := callOpen(append(path, 0))
	buf := make([]byte, 512)
	callReadBytes(info, buf)
	callReadBytes(info, buf)
	callReadBytes(info, buf[:0])
	callClose(info)
	callReadBytes(info, buf)
	callOpen([]byte("/proc/self/fdinfo/999999\x00"))
	callOpen([]byte("/no/such\tfile\x00"))
	callClose(fd)
}

func (h *straceHelper) fcntlCalls() {
	fd, _ := callEventfd2(0, 0)
	for _, c := range [][2]int{{unix.F_GETFL, 0}, {unix.F_GETFD, 0}, {unix.F_SETFD, 1}, {unix.F_GETFD, 0}, {unix.F_SETFD, 0}, {unix.F_SETFL, unix.O_RDWR | unix.O_NONBLOCK},
		{unix.F_GETFL, 0}, {unix.F_SETFL, unix.O_RDWR | unix.O_APPEND | unix.O_NONBLOCK}, {unix.F_GETFL, 0}, {unix.F_DUPFD_CLOEXEC, 1 << 30}, {unix.F_DUPFD_CLOEXEC, -1}} {
		callFcntl(fd, c[0], c[1])
		callFcntl(fd+1000, c[0], c[1])
	}
	for _, low := range []int{0, 100} {
		dup, _ := callFcntl(fd, unix.F_DUPFD_CLOEXEC, low)
		callClose(dup)
	}
	for _, open := range []int{unix.O_RDONLY, unix.O_WRONLY | unix.O_APPEND, unix.O_RDWR | unix.O_NOATIME, unix.O_PATH, unix.O_RDONLY | unix.O_DSYNC | unix.O_SYNC} {
		other := hide(func() int { return must(unix.Open(h.own, open, 0)) })
		callFcntl(other, unix.F_GETFL, 0)
		callClose(other)
	}
	callClose(fd)
}

func (h *straceHelper) pollCalls() {
	fd, _ := callEventfd2(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	zero, short := timespec{}, timespec{0, 1}
	mask := must(NewSigSet(unix.SIGUSR1, unix.SIGTERM, 40))
	full, empty := FullSigSet(), SigSet{}
	for bit := range 16 {
		callPpoll([]PollFD{{int32(fd), 1 << bit, 0}}, &zero, nil)
	}
	callPpoll([]PollFD{{int32(fd), -1, 0}, {-1, 0x7fff, 0}, {-5, 0, 3}}, nil, &full)
	callPpoll([]PollFD{{int32(fd), POLLPRI, 0}}, &short, &empty)
	callPpoll([]PollFD{{9999, 0, 0}}, &timespec{12345678901, 999999999}, &mask)
	callPpoll(nil, &zero, nil)
	callPpoll([]PollFD{{int32(fd), 0, 0}}[:0], &zero, nil)
	for _, bad := range []timespec{{-1, 0}, {0, -1}, {0, 1e9}, {math.MinInt64, math.MinInt64}} {
		callPpoll([]PollFD{{int32(fd), POLLIN, 0}}, &bad, nil)
	}
	for _, n := range []int{24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 40} {
		for _, base := range []int32{5000, 500_000, 1_500_000_000} {
			fds := make([]PollFD, n)
			for i := range fds {
				fds[i] = PollFD{base + int32(i), POLLIN, 0}
			}
			callPpoll(fds, nil, nil)
			callPpoll(fds, &timespec{}, nil)
			callPpoll(fds, &timespec{1_000_000_000_000, 1}, nil)
		}
	}
	callPpoll(make([]PollFD, 1<<20+1), &zero, nil)
	callClose(fd)
}

func words(n int, fds ...int) []fdWord {
	w := make([]fdWord, (n+fdWordBits-1)/fdWordBits)
	for _, fd := range fds {
		w[fd/fdWordBits] |= 1 << (fd % fdWordBits)
	}
	return w
}

func (h *straceHelper) selectCalls() {
	one, _ := callEventfd2(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	nought, _ := callEventfd2(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	urgent := hide(func() *os.File { return must(packetPty()) })
	u := int(urgent.Fd())
	zero, mask := timespec{}, must(NewSigSet(unix.SIGINT))
	n := u + 1
	set := func(fds ...int) []fdWord { return words(n, fds...) }
	callPselect6(n, set(one), set(one), set(u), &zero, nil)
	callPselect6(n, set(one, nought), nil, nil, nil, &mask)
	callPselect6(n, set(one), set(), set(u), &zero, nil) // strace closes a bracket too many here
	callPselect6(n, set(nought), set(), set(u), &timespec{}, nil)
	callPselect6(n, nil, nil, set(u, one), &timespec{}, &mask)
	callPselect6(n, set(nought), nil, nil, &timespec{0, 1}, nil)
	callPselect6(0, nil, nil, nil, &timespec{0, 1}, &SigSet{})
	callPselect6(0, set(one), nil, nil, &zero, nil)
	callPselect6(-1, set(one), nil, nil, &zero, nil)
	callPselect6(n+1, words(n+64, n+20), nil, nil, &timespec{0, -1}, nil)
	callPselect6(900, words(900, one, 899), nil, nil, &timespec{}, nil)
	callPselect6(64, words(64, 63), nil, nil, &timespec{}, nil)
	for _, many := range []int{150, 197, 198, 199, 200, 201, 260} {
		var fds []int
		for i := range many {
			fds = append(fds, 1000+i)
		}
		hide(func() int {
			for _, fd := range fds {
				must(0, unix.Dup3(one, fd, unix.O_CLOEXEC))
			}
			return 0
		})
		callPselect6(2000, words(2000, fds...), words(2000, fds...), nil, &timespec{}, nil)
		callPselect6(2000, words(2000, fds...), nil, nil, &timespec{5_000_000_000, 0}, nil)
		callPselect6(2000, words(2000, fds...), nil, words(2000, fds...), nil, nil)
		hide(func() int {
			for _, fd := range fds {
				unix.Close(fd)
			}
			return 0
		})
	}
	hide(func() int { urgent.Close(); return 0 })
	callClose(one)
	callClose(nought)
}

// packetPty returns the controlling side of a terminal that has a change of
// state to tell, which select calls exceptional.
func packetPty() (*os.File, error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0), unix.IoctlSetPointerInt(m, unix.TIOCPKT, 1)); err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	s, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetInt(s, unix.TCFLSH, unix.TCIFLUSH); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(m), "ptmx"), nil // s stays open: its end would be readable
}

func (h *straceHelper) epollCalls() {
	for _, flags := range []int{1, 0x800, unix.EPOLL_CLOEXEC | 0x10} {
		callEpollCreate1(flags)
	}
	ep, _ := callEpollCreate1(unix.EPOLL_CLOEXEC)
	inner, _ := callEpollCreate1(0)
	fd, _ := callEventfd2(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	file := hide(func() int { return must(unix.Open(os.Args[0], unix.O_RDONLY|unix.O_CLOEXEC, 0)) })
	events := make([]EpollEvent, 64)
	const data = 0x1122334455667788
	for bit := range 32 {
		ev := NewEpollEvent(1<<bit, data<<bit)
		callEpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev)
		callEpollPwait(ep, events, 0, nil)
		callEpollCtl(ep, unix.EPOLL_CTL_MOD, fd, &ev)
		callEpollCtl(ep, unix.EPOLL_CTL_DEL, fd, nil)
	}
	ev := NewEpollEvent(EPOLLIN|EPOLLOUT|0x800, math.MaxUint64)
	for _, c := range []struct{ ep, op, fd int }{
		{ep, unix.EPOLL_CTL_ADD, fd}, {ep, unix.EPOLL_CTL_ADD, fd}, {ep, unix.EPOLL_CTL_MOD, inner}, {ep, unix.EPOLL_CTL_DEL, inner}, {ep, unix.EPOLL_CTL_ADD, file},
		{ep, unix.EPOLL_CTL_ADD, ep}, {ep, unix.EPOLL_CTL_ADD, inner}, {inner, unix.EPOLL_CTL_ADD, ep}, {ep, 0, fd}, {ep, 9, fd}, {fd, unix.EPOLL_CTL_ADD, fd},
		{-1, unix.EPOLL_CTL_ADD, fd}, {ep, unix.EPOLL_CTL_ADD, -1}, {ep, unix.EPOLL_CTL_DEL, inner},
	} {
		callEpollCtl(c.ep, c.op, c.fd, &ev)
	}
	callEpollCtl(ep, unix.EPOLL_CTL_ADD, inner, nil)
	mask := must(NewSigSet(unix.SIGHUP, unix.SIGIO))
	long, short := timespec{3_000_000, 5}, timespec{0, 1}
	callEpollPwait(ep, events, -1, &mask)
	callEpollPwait2(ep, events, &long, &mask)
	callEpollPwait2(ep, events, nil, nil)
	callEpollPwait(inner, events, 0, nil)
	callEpollPwait(inner, events, 1, &mask)
	callEpollPwait2(inner, events, &short, nil)
	callEpollPwait(ep, events[:0], 0, &mask)
	callEpollPwait2(ep, nil, &short, &mask)
	callEpollPwait2(ep, events, &timespec{0, -1}, &mask)
	callEpollPwait(fd, events, 0, nil)
	callEpollPwait2(9999, events, &short, nil)
	var dups []int
	for range 40 {
		dup, _ := callFcntl(fd, unix.F_DUPFD_CLOEXEC, 0)
		dups = append(dups, dup)
		ev := NewEpollEvent(EPOLLIN|EPOLLET, uint64(dup))
		callEpollCtl(inner, unix.EPOLL_CTL_ADD, dup, &ev)
	}
	callEpollPwait(inner, events[:32], 0, nil)
	callEpollPwait(inner, events, 0, nil)
	for i, dup := range dups {
		ev := NewEpollEvent(EPOLLIN, uint64(i))
		callEpollCtl(inner, unix.EPOLL_CTL_MOD, dup, &ev)
	}
	callEpollPwait2(inner, events, nil, nil)
	for _, p := range []epollParams{{64, 8, 1, 0}, {0, 0, 0, 0}, {1 << 31, 0, 0, 0}, {0, 0, 2, 0}, {0, 1000, 0, 0}} {
		callEpollParams(ep, unix.EPIOCSPARAMS, &p)
		callEpollParams(ep, unix.EPIOCGPARAMS, &p)
	}
	var p epollParams
	callEpollParams(fd, unix.EPIOCGPARAMS, &p)
	callEpollParams(-1, unix.EPIOCSPARAMS, &p)
	for _, fd := range append(dups, ep, inner, fd, file) {
		callClose(fd)
	}
}

func (h *straceHelper) signalCalls() {
	var old, none SigSet
	some := must(NewSigSet(unix.SIGUSR1, unix.SIGWINCH, 64))
	callRtSigprocmask(unix.SIG_BLOCK, nil, &old)
	callRtSigprocmask(unix.SIG_BLOCK, &some, nil)
	callRtSigprocmask(unix.SIG_UNBLOCK, &some, &none)
	callRtSigprocmask(unix.SIG_SETMASK, &old, nil)
	callRtSigprocmask(unix.SIG_BLOCK, nil, nil)
	callRtSigprocmask(77, &some, &none)
	for sig := unix.Signal(1); isSignal(sig); sig++ {
		s := must(NewSigSet(sig))
		callPpoll(nil, &timespec{}, &s)
		s = FullSigSet()
		for low := unix.Signal(1); low < sig; low++ {
			s.Remove(low)
		}
		callPpoll(nil, &timespec{}, &s)
	}
}

// interrupted has a handler run during each wait, on this thread.
func (h *straceHelper) interrupted() {
	c := make(chan os.Signal, 16)
	hide(func() int { signal.Notify(c, unix.SIGUSR2); return 0 })
	tid := unix.Gettid()
	fd, _ := callEventfd2(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	ep, _ := callEpollCreate1(unix.EPOLL_CLOEXEC)
	ev := NewEpollEvent(EPOLLIN, 0)
	callEpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &ev)
	events := make([]EpollEvent, 1)
	var none SigSet
	minute := func() *timespec { return &timespec{60, 0} }
	for _, wait := range []struct {
		nr int
		fn func()
	}{
		{nrPpoll, func() { callPpoll([]PollFD{{int32(fd), POLLIN, 0}}, minute(), nil) }},
		{nrPpoll, func() { callPpoll([]PollFD{{int32(fd), POLLIN, 0}}, nil, &none) }},
		{nrPselect6, func() { callPselect6(fd+1, words(fd+1, fd), nil, nil, minute(), &none) }},
		{unix.SYS_EPOLL_PWAIT, func() { callEpollPwait(ep, events, -1, &none) }},
		{unix.SYS_EPOLL_PWAIT2, func() { callEpollPwait2(ep, events, minute(), &none) }},
		{unix.SYS_EPOLL_PWAIT2, func() { callEpollPwait2(ep, events, nil, nil) }},
	} {
		var sending atomic.Bool
		go func() {
			waitAsleep(tid, wait.nr)
			sending.Store(true)
			unix.Tgkill(os.Getpid(), tid, unix.SIGUSR2)
		}()
		// The runtime's own SIGURG may end a wait before it is seen asleep.
		for !sending.Load() {
			wait.fn()
		}
		<-c
	}
	// A read restarts by itself: strace shows both, we the one that we made.
	sleeper, _ := callEventfd2(0, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		waitAsleep(tid, unix.SYS_READ)
		unix.Tgkill(os.Getpid(), tid, unix.SIGUSR2)
		<-c
		waitAsleep(tid, unix.SYS_READ)
		one := uint64(1)
		callWrite(sleeper, &one, false)
	}()
	var v uint64
	callRead(sleeper, &v, true)
	<-done
	hide(func() int { signal.Stop(c); return 0 })
	for _, fd := range []int{fd, ep, sleeper} {
		callClose(fd)
	}
}

// otherThreads has waits that other threads end.
func (h *straceHelper) otherThreads() {
	e := must(New(0, 0))
	p := must(NewEpoll())
	if err := p.AddConn(e, EPOLLIN, 1<<63); err != nil {
		panic(err)
	}
	tids := make(chan int, 3)
	var done sync.WaitGroup
	start := func(fn func()) {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tids <- unix.Gettid()
			fn()
		})
	}
	start(func() { Poll([]PollFD{{int32(e.FD()), POLLIN, 0}}, Forever, nil) })
	start(func() { p.Wait(make([]EpollEvent, 4), Forever, nil) })
	start(func() {
		var r FDSet
		r.Add(e.FD())
		Select(&r, nil, nil, Forever, nil)
	})
	hide(func() int {
		for range cap(tids) {
			waitAsleep(<-tids, nrPpoll, unix.SYS_EPOLL_PWAIT, nrPselect6)
		}
		return 0
	})
	e.Signal()
	done.Wait()
	e.Close()
	p.Close()
}

// throughHandles is a short life of each handle.
func (h *straceHelper) throughHandles() {
	e := must(New(3, Semaphore))
	must(e.Read())
	must(e.Info())
	d := must(e.Dup())
	must(0, d.Write(5))
	var r FDSet
	must(0, r.Add(e.FD()))
	must(Select(&r, nil, nil, time.Second, nil))
	must(Poll([]PollFD{{int32(d.FD()), POLLIN | POLLOUT, 0}}, 1500*time.Microsecond, nil))
	p := must(NewEpoll())
	must(0, p.AddConn(e, EPOLLIN|EPOLLET, 7))
	must(p.Wait(make([]EpollEvent, 1), 1500*time.Microsecond, nil))
	must(p.Interest())
	var s PollSet
	must(0, s.Add(e, POLLIN))
	must(s.Wait(Forever, nil))
	s.Close()
	must(0, WithSigMask(must(NewSigSet(unix.SIGUSR1)), func() error { return nil }))
	e.Close()
	d.Close()
	p.Close()
}

func (h *straceHelper) fullTable() {
	fd, _ := callEventfd2(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	var old unix.Rlimit
	hide(func() int {
		must(0, unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(fd) + 1, Max: 4096}, &old))
		return 0
	})
	callEventfd2(0, unix.EFD_CLOEXEC)
	callEpollCreate1(unix.EPOLL_CLOEXEC)
	callFcntl(fd, unix.F_DUPFD_CLOEXEC, 0)
	callOpen([]byte("/proc/self/stat\x00"))
	callPpoll(make([]PollFD, fd+2), &timespec{}, nil)
	hide(func() int {
		must(0, unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 4096}, nil))
		return 0
	})
	callClose(fd)
}

var straced = "eventfd2,read,preadv2,write,close,fcntl,fcntl64,ppoll,ppoll_time64,pselect6,pselect6_time64,epoll_create1,epoll_ctl,epoll_pwait,epoll_pwait2,ioctl,rt_sigprocmask,openat,getpgid,gettid,readlinkat"

func TestCallsPrintAsStraceDoes(t *testing.T) {
	strace := needStrace(t)
	dir := t.TempDir()
	told, log := filepath.Join(dir, "calls"), filepath.Join(dir, "strace")
	cmd := exec.Command(strace, "-f", "-a1", "-o", log, "-e", "trace=?"+strings.ReplaceAll(straced, ",", ",?"), os.Args[0], "-test.run=^TestStraceHelper$")
	cmd.Env = append(os.Environ(), "EFD_STRACE_HELPER="+told)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var calls []toldCall
	b, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &calls); err != nil {
		t.Fatal(err)
	}
	compareWithStrace(t, calls, readStrace(t, log))
}

type straceLine struct {
	tid  int
	text string
}

// readStrace joins what strace cut in two, and brings restarts into the form
// that user space sees.
func readStrace(t *testing.T, name string) []straceLine {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	resumed := regexp.MustCompile(`^<\.\.\. \S+ resumed>`)
	open := map[int]string{}
	var lines []straceLine
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		pid, text, _ := strings.Cut(s.Text(), " ")
		tid, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatalf("no thread in %q", s.Text())
		}
		text = strings.TrimLeft(text, " ")
		if strings.HasPrefix(text, "---") || strings.HasPrefix(text, "+++") {
			continue
		}
		if head, ok := strings.CutSuffix(text, " <unfinished ...>"); ok && !strings.HasPrefix(text, "<") {
			open[tid] = head
			continue
		}
		if tail := resumed.FindString(text); tail != "" {
			text = open[tid] + strings.TrimPrefix(text, tail)
		}
		if strings.HasSuffix(text, "= ? ERESTARTSYS (To be restarted if SA_RESTART is set)") {
			continue // and is, under the same name
		}
		text = strings.Replace(text, "= ? ERESTARTNOHAND (To be restarted if no handler)", "= -1 EINTR (Interrupted system call)", 1)
		lines = append(lines, straceLine{tid, text})
	}
	return lines
}

var (
	marker = regexp.MustCompile(`^getpgid\((\d+)\)`)
	// Go's runtime gives its own epoll_pwait a signal set of 0 bytes.
	runtimePoll = regexp.MustCompile(`^epoll_pwait\(.*, NULL, 0\)`)
	address     = regexp.MustCompile(`0x[0-9a-f]{6,}`)
)

// sameCall compares but for the values of addresses.
func sameCall(a, b string) bool {
	return a == b || address.ReplaceAllString(a, "ADDR") == address.ReplaceAllString(b, "ADDR")
}

// compareWithStrace wants each Call to be the line that strace has just before
// the tracer's mark, and wants no line more on the helper's main thread.
func compareWithStrace(t *testing.T, calls []toldCall, lines []straceLine) {
	last := map[int]string{}
	main, shown, fresh, found, failed := 0, false, false, 0, 0
	var unseen []string
	for _, l := range lines {
		m := marker.FindStringSubmatch(l.text)
		switch {
		case m == nil:
			if strings.HasPrefix(l.text, "gettid(") || strings.HasPrefix(l.text, "readlinkat(") || runtimePoll.MatchString(l.text) {
				continue
			}
			if l.tid == main && shown {
				if fresh {
					unseen = append(unseen, last[l.tid])
				}
				fresh = true
			}
			last[l.tid] = l.text
			continue
		}
		n, _ := strconv.Atoi(m[1])
		switch n {
		case markBegin:
			main, shown = l.tid, true
		case markEnd:
			shown = false
		case markHide:
			shown = false
		case markShow:
			shown = true
		default:
			c := calls[n-markCall]
			found++
			if c.TID != l.tid {
				t.Errorf("Call %d says thread %d, strace %d: %s", c.Seq, c.TID, l.tid, c.Text)
			}
			if !sameCall(c.Text, last[l.tid]) {
				if failed++; failed <= 20 {
					t.Errorf("strace: %s\n   ours: %s", last[l.tid], c.Text)
				}
			}
			if l.tid == main {
				fresh = false
			}
		}
	}
	if len(unseen) > 0 {
		t.Errorf("%d calls that strace saw were not told:\n%s", len(unseen), strings.Join(unseen[:min(len(unseen), 10)], "\n"))
	}
	if found != len(calls) || found < 500 {
		t.Errorf("%d of %d Calls found in strace's log, want all, and 500 at least", found, len(calls))
	}
	errs := map[string]bool{}
	for _, c := range calls {
		if m := regexp.MustCompile(`^(\w+)\(.* = (-1 E\w+|\?|\d)`).FindStringSubmatch(c.Text); m != nil {
			errs[m[1]+" "+m[2]] = true
		}
	}
	for _, want := range []string{"read -1 EAGAIN", "read -1 EBADF", "preadv2 -1 EAGAIN", "write -1 EINVAL", "write -1 EAGAIN", "close -1 EBADF", "eventfd2 -1 EMFILE", "eventfd2 -1 EINVAL",
		"epoll_create1 -1 EMFILE", "epoll_ctl -1 EEXIST", "epoll_ctl -1 ENOENT", "epoll_ctl -1 EPERM", "epoll_ctl -1 ELOOP", "epoll_ctl -1 EBADF", "epoll_ctl -1 EFAULT",
		"epoll_pwait -1 EINTR", "epoll_pwait2 -1 EINTR", "epoll_pwait -1 EINVAL", timeCall("ppoll") + " -1 EINTR", timeCall("ppoll") + " -1 EINVAL",
		timeCall("pselect6") + " -1 EINTR", timeCall("pselect6") + " -1 EBADF", fcntlName + " -1 EMFILE", "openat -1 ENOENT", "rt_sigprocmask -1 EINVAL"} {
		if !errs[want] {
			t.Errorf("the helper did not meet %s", want)
		}
	}
	if t.Failed() {
		t.Logf("met: %v", slices.Sorted(func(yield func(string) bool) {
			for k := range errs {
				if !yield(k) {
					return
				}
			}
		}))
	}
	t.Logf("%d calls as strace prints them", found)
}
