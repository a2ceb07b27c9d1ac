//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/efd-go/efd/internal/asleep"
	"github.com/efd-go/efd/internal/ktrace/source"
	"golang.org/x/sys/unix"
)

// deed is one wake as stressProgram made it.
type deed struct {
	Waker  int
	Call   string
	FD     int   // of the call, -1 where it has none
	Wakees []int // one of them
	In     string
	Source string // the documented path of what woke
	IRQ    bool   // an interrupt woke
}

// stressed is what stressProgram tells.
type stressed struct {
	Deeds    []deed
	From     int64    // when all threads were there: before, one may have been the runtime's poller
	Waiters  []int    // threads that nothing else wakes
	Sleepers []int    // threads that only their time-out wakes
	Pairs    [][2]int // threads that share an epoll: one hands on to the other
}

// waiting is a thread that waits, and what ends that.
type waiting struct {
	tid  int
	nr   int
	name string
}

// stand is some waiting threads that one act wakes one of.
type stand struct {
	waiters []waiting
	act     func() (call string, fd int)
	source  string
	irq     bool
}

// fickle is memory that is given back before each call that writes to it, so
// that the kernel has a page fault there.
type fickle []byte

func newFickle() fickle {
	b, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		panic(err)
	}
	return b
}

func (f fickle) drop() { unix.Madvise(f, unix.MADV_DONTNEED) }

func (f fickle) at() uintptr { return uintptr(unsafe.Pointer(&f[0])) }

// waiter starts a thread that repeats a call, and after each does the rest.
func waiter(nr int, name string, call func(b fickle), after func()) waiting {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		b := newFickle()
		tid <- unix.Gettid()
		for {
			call(b)
			after()
		}
	}()
	return waiting{<-tid, nr, name}
}

func inPpoll(fd int, after func()) waiting {
	return waiter(unix.SYS_PPOLL, "ppoll", func(b fickle) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		unix.Ppoll(fds, nil, nil)
	}, after)
}

func inSelect(fd int, after func()) waiting {
	return waiter(unix.SYS_PSELECT6, "pselect6", func(b fickle) {
		var set unix.FdSet
		set.Set(fd)
		unix.Pselect(fd+1, &set, nil, nil, nil, nil)
	}, after)
}

func inRead(fd int) waiting {
	return waiter(unix.SYS_READ, "read", func(b fickle) {
		b.drop()
		unix.Syscall(unix.SYS_READ, uintptr(fd), b.at(), 8)
	}, func() {})
}

func inEpoll(ep int, after func()) waiting {
	return waiter(unix.SYS_EPOLL_PWAIT, "epoll_pwait", func(b fickle) {
		b.drop()
		unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), b.at(), 8, ^uintptr(0), 0, 0)
	}, after)
}

// epollOf makes an epoll with one descriptor.
func epollOf(fd int, events uint32) int {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | events})
	}
	if err != nil {
		panic(err)
	}
	return ep
}

func written(fd int) func() (string, int) {
	return func() (string, int) {
		if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
			panic(err)
		}
		return "write", fd
	}
}

// emptied reads what woke, without waiting.
func emptied(fd int) func() {
	return func() {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(p, 0); n == 1 {
			var b [8]byte
			unix.Read(fd, b[:])
		}
	}
}

func nonblocking() int {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		panic(err)
	}
	return fd
}

// stands makes one of each kind of waiting.
func stands(all *stressed) []stand {
	var out []stand
	add := func(source string, act func() (string, int), w ...waiting) {
		out = append(out, stand{waiters: w, act: act, source: source})
	}
	e := nonblocking()
	add("eventfd_write", written(e), inPpoll(e, emptied(e)))
	e = nonblocking()
	add("eventfd_write", written(e), inSelect(e, emptied(e)))
	e = newEventfd()
	add("eventfd_write", written(e), inRead(e))
	for _, flags := range []uint32{0, unix.EPOLLET, unix.EPOLLEXCLUSIVE} {
		e := nonblocking()
		add("eventfd_write", written(e), inEpoll(epollOf(e, flags), emptied(e)))
	}
	e = nonblocking() // nested
	add("eventfd_write", written(e), inEpoll(epollOf(epollOf(e, 0), 0), emptied(e)))
	e = nonblocking() // polled from outside
	add("eventfd_write", written(e), inPpoll(epollOf(e, 0), emptied(e)))
	e = nonblocking() // two epolls, of which one is woken
	add("eventfd_write", written(e), inEpoll(epollOf(e, unix.EPOLLEXCLUSIVE), emptied(e)), inEpoll(epollOf(e, unix.EPOLLEXCLUSIVE), emptied(e)))
	e = nonblocking() // two threads in one epoll
	ep := epollOf(e, 0)
	a, b := inEpoll(ep, emptied(e)), inEpoll(ep, emptied(e))
	all.Pairs = append(all.Pairs, [2]int{a.tid, b.tid})
	add("eventfd_write", written(e), a, b)
	e = nonblocking()
	d, err := unix.Dup(e)
	if err != nil {
		panic(err)
	}
	add("eventfd_write", written(d), inPpoll(e, emptied(e)))
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		panic(err)
	}
	add("pipe", written(p[1]), inPpoll(p[0], emptied(p[0])))
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		panic(err)
	}
	add("unix", written(s[1]), inEpoll(epollOf(s[0], 0), emptied(s[0])))
	t, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		panic(err)
	}
	out = append(out, stand{[]waiting{inPpoll(t, emptied(t))}, func() (string, int) {
		if err := unix.TimerfdSettime(t, 0, &unix.ItimerSpec{Value: unix.Timespec{Nsec: 300_000}}, nil); err != nil {
			panic(err)
		}
		return "", -1
	}, "timerfd", true})
	e = nonblocking()
	w := inPpoll(e, func() {})
	add("signal", func() (string, int) {
		if err := unix.Tgkill(os.Getpid(), w.tid, unix.SIGUSR1); err != nil {
			panic(err)
		}
		return "tgkill", -1
	}, w)
	return out
}

// inherited has a process that was forked wait for an eventfd of this one.
func inherited() stand {
	e := nonblocking()
	d, err := unix.Dup(e) // the file closes its own when it is garbage
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EFDTRACE_TEST_PROGRAM=heir")
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(d), "eventfd")}
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		panic(err)
	}
	var tid int
	if _, err := fmt.Fscan(out, &tid); err != nil {
		panic(err)
	}
	return stand{waiters: []waiting{{tid, unix.SYS_PPOLL, "ppoll"}}, act: written(e), source: "eventfd_write"}
}

// heirProgram waits for the eventfd that it was given.
func heirProgram(string) {
	w := inPpoll(3, emptied(3))
	fmt.Println(w.tid)
	select {}
}

// stressProgram has many threads wait in all ways and wakes some, for as long
// as arg says, and tells what it did. arg also says how many only wait.
func stressProgram(arg string) {
	var length time.Duration
	var idle int
	var text string
	if _, err := fmt.Sscan(arg, &text, &idle); err != nil {
		panic(err)
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n') // observed from here on
	signal.Notify(make(chan os.Signal, 64), unix.SIGUSR1)
	var all stressed
	const groups = 4
	var own [groups][]stand
	heirs := make(chan stand)
	go func() { // whose parent's death is a signal to it
		runtime.LockOSThread()
		heirs <- inherited()
		select {}
	}()
	for g := range own {
		own[g] = stands(&all)
	}
	own[0] = append(own[0], <-heirs)
	for _, stands := range own {
		for _, s := range stands {
			for _, w := range s.waiters {
				all.Waiters = append(all.Waiters, w.tid)
			}
		}
	}
	for range 4 {
		w := waiter(unix.SYS_PPOLL, "ppoll", func(fickle) { unix.Ppoll(nil, &unix.Timespec{Nsec: 5_000_000}, nil) }, func() {})
		all.Sleepers = append(all.Sleepers, w.tid)
	}
	for range idle {
		e := nonblocking()
		all.Waiters = append(all.Waiters, inPpoll(e, emptied(e)).tid)
	}
	all.From = source.Now()
	var over atomic.Bool
	time.AfterFunc(length, func() { over.Store(true) })
	go contend(&over)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range own {
		wg.Go(func() {
			runtime.LockOSThread()
			var did []deed
			for rng := rand.New(rand.NewPCG(1, uint64(g))); !over.Load(); {
				did = append(did, own[g][rng.IntN(len(own[g]))].wake())
			}
			mu.Lock()
			all.Deeds = append(all.Deeds, did...)
			mu.Unlock()
		})
	}
	wg.Wait()
	for _, stands := range own { // the last ones have been waited for too
		for _, s := range stands {
			s.await()
		}
	}
	tell("stressed", all)
}

// await waits until all of a stand's threads sleep in their calls.
func (s *stand) await() (tids []int) {
	for _, w := range s.waiters {
		if err := asleep.Await(context.Background(), w.tid, w.tid, w.nr); err != nil {
			panic(err)
		}
		tids = append(tids, w.tid)
	}
	return tids
}

// wake wakes one of a stand's threads.
func (s *stand) wake() deed {
	d := deed{Waker: unix.Gettid(), Wakees: s.await(), In: s.waiters[0].name, Source: s.source, IRQ: s.irq}
	d.Call, d.FD = s.act()
	if s.irq {
		d.Waker = 0
	}
	return d
}

// contend has the threads wait for the lock of the address space.
func contend(over *atomic.Bool) {
	runtime.LockOSThread()
	for !over.Load() {
		b, err := unix.Mmap(-1, 0, 1<<22, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			panic(err)
		}
		for i := 0; i < len(b); i += os.Getpagesize() {
			binary.NativeEndian.PutUint64(b[i:], 1)
		}
		unix.Munmap(b)
	}
}
