//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/adversary/hostile"
	"github.com/efd-go/efd/internal/asleep"
	"golang.org/x/sys/unix"
)

// The test binary is also the programs that are observed, and the command
// itself where a test has to kill it. What the command starts is the program
// that is named behind it.
func TestMain(m *testing.M) {
	name, rest, _ := strings.Cut(os.Getenv("EFDTRACE_TEST_PROGRAM"), " ")
	if name == "efdtrace" {
		os.Setenv("EFDTRACE_TEST_PROGRAM", rest)
		os.Exit(run(ofProcess(), os.Args[1:]))
	}
	if name == "hostile" {
		os.Setenv("EFDTRACE_TEST_PROGRAM", "efdtrace ")
		fmt.Fprintln(os.Stderr, hostile.Become(strings.Fields(rest), os.Args))
		os.Exit(125)
	}
	if p, ok := testPrograms[name]; ok {
		p(rest)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var testPrograms = map[string]func(arg string){
	"pingpong": pingPongProgram,
	"noise":    noiseProgram,
	"crowd":    crowdProgram,
	"who":      whoProgram,
	"waiter":   waiterProgram,
	"observed": observedProgram,
	"stress":   stressProgram,
	"heir":     heirProgram,
	"reaper":   reaperProgram,
}

// raw makes a call without Go's scheduler: the thread sleeps in this call and
// in no other.
func raw(nr uintptr, a ...uintptr) int {
	var v [6]uintptr
	copy(v[:], a)
	r, _, e := unix.RawSyscall6(nr, v[0], v[1], v[2], v[3], v[4], v[5])
	if e != 0 {
		return -int(e)
	}
	return int(r)
}

func rawWrite(fd int, v uint64) {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], v)
	if n := raw(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b)), 8); n != 8 {
		panic(n)
	}
}

// rawWait sleeps in ppoll and then reads the counter. It adds up how often the
// thread gave up its CPU in ppoll: there is nothing around that call in which
// Go could have it do so.
func rawWait(fd int, sleeps *int64) uint64 {
	const thread = 1 // RUSAGE_THREAD
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	var before, after unix.Rusage
	unix.RawSyscall(unix.SYS_GETRUSAGE, thread, uintptr(unsafe.Pointer(&before)), 0)
	n, _, _ := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, 0, 0, 0, 0)
	unix.RawSyscall(unix.SYS_GETRUSAGE, thread, uintptr(unsafe.Pointer(&after)), 0)
	*sleeps += int64(after.Nvcsw - before.Nvcsw)
	var b [8]byte
	if m := raw(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b)), 8); n != 1 || m != 8 {
		panic(m)
	}
	return binary.NativeEndian.Uint64(b[:])
}

func newEventfd() int {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		panic(err)
	}
	return fd
}

// side is what a thread of pingPongProgram tells of itself.
type side struct {
	TID    int
	Sleeps int64 // in ppoll
	Wrote  int
	FD     int // that it waits for
}

// pingPongProgram has two threads wake each other for as long as arg says, and
// tells what each did.
func pingPongProgram(arg string) {
	d, err := time.ParseDuration(arg)
	if err != nil {
		panic(err)
	}
	// Nothing but the eventfds is to wake these threads.
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(4)
	a, b := newEventfd(), newEventfd()
	end := time.Now().Add(d)
	var sides [2]side
	var wg sync.WaitGroup
	play := func(i, in, out int) {
		defer wg.Done()
		runtime.LockOSThread()
		s := side{TID: unix.Gettid(), FD: in}
		const more, last = 1, 2
		for v := uint64(more); v != last; {
			if i == 0 {
				if time.Now().After(end) {
					v = last
				}
				rawWrite(out, v)
				rawWait(in, &s.Sleeps)
			} else {
				v = rawWait(in, &s.Sleeps)
				rawWrite(out, v)
			}
			s.Wrote++
		}
		sides[i] = s
	}
	wg.Add(2)
	go play(0, a, b)
	go play(1, b, a)
	wg.Wait()
	tell("sides", sides)
	if os.Getenv("EFDTRACE_TEST_HOLD") != "" {
		io.Copy(io.Discard, os.Stdin) // until nobody wants to look any more
	}
}

// tell writes what a program did to standard error.
func tell(key string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "%s %s\n", key, b)
}

// told finds what a program told.
func told(t testing.TB, stderr, key string, v any) {
	t.Helper()
	for line := range strings.Lines(stderr) {
		if text, ok := strings.CutPrefix(line, key+" "); ok {
			if err := json.Unmarshal([]byte(text), v); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the program told nothing of its %s: %s", key, stderr)
}

// noiseProgram makes very many system calls, and wakes, until it is killed.
func noiseProgram(string) {
	a, b := newEventfd(), newEventfd()
	var sleeps [2]int64
	go func() {
		for {
			rawWait(a, &sleeps[0])
			rawWrite(b, 1)
		}
	}()
	for i := uint64(0); ; i++ {
		raw(unix.SYS_GETPPID)
		if i%64 == 0 {
			rawWrite(a, 1)
			rawWait(b, &sleeps[1])
		}
	}
}

// pairing is one wake as crowdProgram made it.
type pairing struct{ Waker, Wakee, FD int }

// crowdProgram has very many threads wait, and few of them woken, by several
// others. arg is how many wait, how many wake, and how many wakes each does:
// 0 is until standard input ends.
func crowdProgram(arg string) {
	var waiters, wakers, each int
	if _, err := fmt.Sscan(arg, &waiters, &wakers, &each); err != nil {
		panic(err)
	}
	type waiter struct{ tid, fd int }
	all := make([]waiter, waiters)
	var ready sync.WaitGroup
	for i := range all {
		ready.Add(1)
		go func() {
			runtime.LockOSThread()
			all[i] = waiter{unix.Gettid(), newEventfd()}
			ready.Done()
			fds := []unix.PollFd{{Fd: int32(all[i].fd), Events: unix.POLLIN}}
			for {
				if _, err := unix.Ppoll(fds, nil, nil); err == unix.EINTR {
					continue
				}
				var b [8]byte
				unix.Read(all[i].fd, b[:])
			}
		}()
	}
	ready.Wait()
	var over atomic.Bool
	if each == 0 {
		each = math.MaxInt
		go func() {
			io.Copy(io.Discard, os.Stdin)
			over.Store(true)
		}()
	}
	done := make([][]pairing, wakers)
	var wg sync.WaitGroup
	for k := range wakers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			tid := unix.Gettid()
			one := make([]byte, 8)
			binary.NativeEndian.PutUint64(one, 1)
			for i := 0; i < each && !over.Load(); i++ {
				w := all[(k+i*wakers*7)%waiters]
				awaitPpoll(w.tid)
				unix.Write(w.fd, one)
				done[k] = append(done[k], pairing{tid, w.tid, w.fd})
			}
		}()
	}
	wg.Wait()
	tell("pairings", done)
}

// awaitPpoll waits until a thread of this program sleeps in ppoll.
func awaitPpoll(tid int) {
	if err := asleep.Await(context.Background(), os.Getpid(), tid, unix.SYS_PPOLL); err != nil {
		panic(err)
	}
}

// identity is what whoProgram tells of itself.
type identity struct {
	Status map[string]string // of /proc/self/status
	Files  map[string]string // descriptor → what it is
	Stdin  string
	Home   string
	Third  string // what descriptor 3 has to read
}

// whoProgram tells who it is and what it was given, and ends with status 7.
func whoProgram(string) {
	id := identity{Status: map[string]string{}, Files: map[string]string{}, Home: os.Getenv("HOME")}
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(line, ":")
		id.Status[k] = strings.TrimSpace(v)
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, f := range fds {
		if link, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
			id.Files[f.Name()] = link
		}
	}
	id.Stdin, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	third := make([]byte, 5)
	if n, err := unix.Read(3, third); err == nil {
		id.Third = string(third[:n])
	}
	tell("identity", id)
	os.Exit(7)
}

// waiterProgram has a thread wait for an eventfd, and wakes it for each line
// that it reads. It says so on standard output.
func waiterProgram(string) {
	e, err := efd.New(0, 0)
	if err != nil {
		panic(err)
	}
	tids, woken := make(chan int), make(chan bool)
	go func() {
		runtime.LockOSThread()
		tids <- unix.Gettid()
		for {
			fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
			efd.Poll(fds, efd.Forever, nil)
			e.Read()
			woken <- true
		}
	}()
	tid := <-tids
	awaitPpoll(tid)
	fmt.Println("ready", os.Getpid(), tid)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		awaitPpoll(tid)
		e.Write(1)
		<-woken
		fmt.Println("woken")
	}
}

// observedProgram is waiterProgram that observes itself.
func observedProgram(string) {
	if _, err := efd.Observe(efd.WatchEventfds()); err != nil {
		panic(err)
	}
	waiterProgram("")
}
