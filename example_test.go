//go:build linux

package efd_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

func Example() {
	done, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer done.Close()
	go func() {
		done.Write(2)
		done.Write(40)
	}()
	for sum := uint64(0); sum < 42; {
		n, err := done.ReadContext(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		sum += n
	}
	fmt.Println("all there")
	// Output: all there
}

func ExampleEventFD_ReadContext_cancel() {
	e, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	_, err = e.ReadContext(ctx)
	fmt.Println(err)
	// Another waiter would go on. So does the handle.
	e.Signal()
	fmt.Println(e.ReadContext(context.Background()))
	// Output:
	// context deadline exceeded
	// 1 <nil>
}

// A semaphore hands out one unit per Read.
func ExampleNew_semaphore() {
	slots, err := efd.New(2, efd.Semaphore)
	if err != nil {
		log.Fatal(err)
	}
	defer slots.Close()
	fmt.Println(slots.Read())
	fmt.Println(slots.Read())
	_, err = slots.Read()
	fmt.Println(errors.Is(err, unix.EAGAIN))
	// Output:
	// 1 <nil>
	// 1 <nil>
	// true
}

// A child process gets a duplicate as descriptor 3. It is non-blocking there
// too: a child that reads has to poll first.
func ExampleEventFD_File_exec() {
	e, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	f, err := e.File()
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	// Eight bytes in the machine's order, none of them 0 but the last.
	child := exec.Command("sh", "-c", `printf '\001\001\001\001\001\001\001\001' >&3`)
	child.ExtraFiles = []*os.File{f}
	if err := child.Run(); err != nil {
		log.Fatal(err)
	}
	n, err := e.Read()
	fmt.Printf("%#x %v\n", n, err)
	// Output: 0x101010101010101 <nil>
}

// A process that holds the other end of an AF_UNIX socket gets an eventfd by
// SCM_RIGHTS. Here both ends are in one process.
func ExampleFromFD_scmRights() {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		log.Fatal(err)
	}
	conn := func(fd int) *net.UnixConn {
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			log.Fatal(err)
		}
		return c.(*net.UnixConn)
	}
	here, there := conn(pair[0]), conn(pair[1])
	defer here.Close()
	defer there.Close()

	e, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	if _, _, err := here.WriteMsgUnix([]byte{0}, unix.UnixRights(e.FD()), nil); err != nil {
		log.Fatal(err)
	}

	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := there.ReadMsgUnix(buf, oob)
	if err != nil {
		log.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		log.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		log.Fatal(err)
	}
	received, err := efd.FromFD(fds[0])
	if err != nil {
		log.Fatal(err)
	}
	defer received.Close()
	received.Signal()
	n64, err := e.Read()
	fmt.Println(n64 > 0, err)
	// Output: true <nil>
}

// Poll with a signal mask: only a signal to this thread can end the wait, and
// only where the mask lets it.
func ExamplePoll() {
	e, err := efd.New(1, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	mask, err := efd.NewSigSet(unix.SIGTERM)
	if err != nil {
		log.Fatal(err)
	}
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN | efd.POLLOUT}}
	n, err := efd.Poll(fds, 100*time.Microsecond, &mask)
	var interrupted *efd.InterruptedError
	if errors.As(err, &interrupted) {
		fmt.Println("a signal came with", interrupted.Remaining, "left")
	}
	fmt.Println(n, fds[0].Revents)
	// Output: 1 POLLIN|POLLOUT
}

// A PollSet waits for handles, files and connections alike.
func ExamplePollSet() {
	stop, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer stop.Close()
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	var set efd.PollSet
	defer set.Close()
	for _, c := range []syscall.Conn{stop, r} {
		if err := set.Add(c, efd.POLLIN); err != nil {
			log.Fatal(err)
		}
	}
	w.WriteString("hello")
	if _, err := set.Wait(efd.Forever, nil); err != nil {
		log.Fatal(err)
	}
	for c, events := range set.Ready() {
		fmt.Println(c == stop, c == r, events)
	}
	// Output: false true POLLIN
}

// A socket, or any other bare number, and a stop event: the shape of most loops
// that hold a thread.
func ExamplePollSet_AddFD() {
	stop, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer stop.Close()
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		log.Fatal(err)
	}
	defer unix.Close(inotify)

	var set efd.PollSet
	defer set.Close() // before the number is closed
	if err := errors.Join(set.Add(stop, efd.POLLIN), set.AddFD(inotify, efd.POLLIN)); err != nil {
		log.Fatal(err)
	}
	go stop.Signal()
	for running := true; running; {
		if _, err := set.Wait(efd.Forever, nil); err != nil {
			log.Fatal(err)
		}
		for c := range set.Ready() {
			switch c {
			case stop:
				running = false
			case efd.FD(inotify):
				// read it until EAGAIN
			}
		}
	}
	fmt.Println("stopped")
	// Output: stopped
}

// Numbers above 1023 are as good as others.
func ExampleSelect() {
	e, err := efd.New(1, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	var read efd.FDSet
	read.Add(e.FD())
	n, err := efd.Select(&read, nil, nil, efd.Forever, nil)
	fmt.Println(n, err, read.Has(e.FD()))
	// Output: 1 <nil> true
}

// The 64 bits of data are the caller's: an index, a generation, both.
func ExampleEpoll() {
	p, err := efd.NewEpoll()
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	var handles [3]*efd.EventFD
	for i := range handles {
		if handles[i], err = efd.New(0, 0); err != nil {
			log.Fatal(err)
		}
		defer handles[i].Close()
		if err := p.AddConn(handles[i], efd.EPOLLIN|efd.EPOLLET, uint64(i)); err != nil {
			log.Fatal(err)
		}
	}
	handles[2].Signal()
	events := make([]efd.EpollEvent, 8)
	n, err := p.WaitContext(context.Background(), events)
	if err != nil {
		log.Fatal(err)
	}
	for _, ev := range events[:n] {
		fmt.Println("handle", ev.Data(), ev.Events())
	}
	// Output: handle 2 EPOLLIN
}

// Close ends an event loop: no stop event has to be registered.
func ExampleEpoll_Close() {
	p, err := efd.NewEpoll()
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() {
		events := make([]efd.EpollEvent, 64)
		for {
			n, err := p.Wait(events, efd.Forever, nil)
			if err != nil {
				done <- err
				return
			}
			for _, ev := range events[:n] {
				fmt.Println(ev.Data())
			}
		}
	}()
	p.Close()
	fmt.Println(errors.Is(<-done, os.ErrClosed))
	// Output: true
}

// Wake has an event loop look at what other goroutines have for it.
func ExampleEpoll_Wake() {
	p, err := efd.NewEpoll()
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	jobs := make(chan string, 8)
	go func() {
		for _, job := range []string{"first", "second", "last"} {
			jobs <- job
			p.Wake()
		}
	}()
	events := make([]efd.EpollEvent, 64)
	for last := ""; last != "last"; {
		_, err := p.Wait(events, efd.Forever, nil)
		if err != nil && err != efd.ErrWoken {
			log.Fatal(err)
		}
		for more := err == efd.ErrWoken; more; { // several Wakes may have been one
			select {
			case last = <-jobs:
				fmt.Println(last)
			default:
				more = false
			}
		}
	}
	// Output:
	// first
	// second
	// last
}

// A select loop works on a copy of its set.
func ExampleFDSet_CopyFrom() {
	e, err := efd.New(1, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	var all, ready efd.FDSet
	all.Add(e.FD())
	for range 2 {
		ready.CopyFrom(&all)
		n, err := efd.Select(&ready, nil, nil, 0, nil)
		fmt.Println(n, err, ready.Has(e.FD()), all.Has(e.FD()))
		e.Drain()
	}
	// Output:
	// 1 <nil> true true
	// 0 <nil> false true
}

// What is registered, as the kernel has it.
func ExampleEpoll_Interest() {
	p, err := efd.NewEpoll()
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	e, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	if err := p.AddConn(e, efd.EPOLLIN, 1<<40); err != nil {
		log.Fatal(err)
	}
	list, err := p.Interest()
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range list {
		fmt.Printf("%v, data %#x\n", r.Events, r.Data)
	}
	// Output: EPOLLIN|EPOLLERR|EPOLLHUP, data 0x10000000000
}

// A signal that a thread keeps pending is taken by a wait whose mask lets it.
func ExampleWithSigMask() {
	mask, err := efd.NewSigSet(unix.SIGUSR1)
	if err != nil {
		log.Fatal(err)
	}
	err = efd.WithSigMask(mask, func() error {
		now, err := efd.ThreadSigMask()
		fmt.Println(now.Has(unix.SIGUSR1))
		return err
	})
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// A test that a write wakes the thread that polls, and through what. Without the
// privileges to observe it is skipped.
func ExampleObserve() {
	e, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	o, err := efd.Observe()
	if errors.Is(err, os.ErrPermission) {
		fmt.Println("skipped:", err)
		return
	} else if err != nil {
		log.Fatal(err)
	}

	tid, done := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread() // a wake names threads
		defer close(done)
		tid <- unix.Gettid()
		efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, efd.Forever, nil)
	}()
	waiter := <-tid
	for asleep := false; !asleep; { // what does not sleep is not woken
		call, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/syscall", waiter))
		if err != nil {
			log.Fatal(err)
		}
		asleep = strings.HasPrefix(string(call), fmt.Sprint(unix.SYS_PPOLL, " "))
	}
	e.Signal()
	<-done

	report, err := o.Stop()
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range report.Wakes {
		if w.Wakee.TID == waiter && w.Object != "" {
			fmt.Println(w.Waker.Syscall, "woke", w.Wakee.Syscall, "through", w.Callback)
		}
	}
	// prints: write woke ppoll through pollwake
}
