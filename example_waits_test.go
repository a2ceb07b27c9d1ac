//go:build linux

package efd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// Close ends the waits of all others, and returns without them.
func ExampleEventFD_Close() {
	e, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	for range 3 {
		go func() {
			_, err := e.ReadContext(context.Background())
			ended <- err
		}()
	}
	fmt.Println(e.Close())
	for range 3 {
		fmt.Println(errors.Is(<-ended, os.ErrClosed))
	}
	fmt.Println(e.FD())
	// Output:
	// <nil>
	// true
	// true
	// true
	// -1
}

// A connection that is registered once, edge-triggered: an edge is over with
// EAGAIN, and not before. The program examples/echo is a whole server.
func ExampleEpoll_AddConn() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		io.WriteString(peer, "more than one read takes")
		peer.Close()
	}()
	conn, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	c, err := efd.ConnOf(conn) // a net.Conn is no syscall.Conn by its interface
	if err != nil {
		log.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		log.Fatal(err)
	}

	p, err := efd.NewEpoll()
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.AddConn(c, efd.EPOLLIN|efd.EPOLLRDHUP|efd.EPOLLET, 1); err != nil {
		log.Fatal(err)
	}
	var text []byte
	for open := true; open; {
		if _, err := p.WaitContext(context.Background(), make([]efd.EpollEvent, 8)); err != nil {
			log.Fatal(err)
		}
		for more := true; more; {
			buf := make([]byte, 10)
			var n int
			var readErr error
			err := raw.Read(func(fd uintptr) bool {
				n, readErr = unix.Read(int(fd), buf)
				return true // also with EAGAIN: it is the Epoll that waits
			})
			switch {
			case err != nil:
				log.Fatal(err)
			case readErr == unix.EAGAIN:
				more = false
			case readErr == unix.EINTR:
			case readErr != nil:
				log.Fatal(readErr)
			case n == 0:
				more, open = false, false
			default:
				text = append(text, buf[:n]...)
			}
		}
	}
	fmt.Printf("%s\n", text)
	// Output: more than one read takes
}

// SIGTERM or readiness: a signal that is sent to the process, as kill(1) does,
// ends a context, and no signal is lost before the wait.
func ExamplePollSet_WaitContext_signal() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	work, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer work.Close()
	var set efd.PollSet
	defer set.Close()
	if err := set.Add(work, efd.POLLIN); err != nil {
		log.Fatal(err)
	}

	unix.Kill(os.Getpid(), unix.SIGTERM)
	_, err = set.WaitContext(ctx)
	fmt.Println(errors.Is(err, context.Canceled), context.Cause(ctx))
	// Output: true terminated signal received
}

// A mask is for signals that are sent to one thread, by tgkill(2), a timer with
// SIGEV_THREAD_ID or the like: blocked outside of the wait, and let in by it, so
// that none comes between the check and the wait. A signal to the process goes to
// any thread, and does not end this wait: see [signal.NotifyContext].
func ExamplePoll_mask() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	defer signal.Stop(signals)
	blocked, err := efd.NewSigSet(unix.SIGUSR1)
	if err != nil {
		log.Fatal(err)
	}
	err = efd.WithSigMask(blocked, func() error { // on this thread
		unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1) // stays pending
		var none efd.SigSet
		_, err := efd.Poll(nil, time.Minute, &none)
		return err
	})
	var interrupted *efd.InterruptedError
	fmt.Println(errors.As(err, &interrupted), interrupted.Remaining > 50*time.Second)
	fmt.Println(<-signals)
	// Output:
	// true true
	// user defined signal 1
}

// Changes of a directory, a timer and a signal, in one set. The program
// examples/watch reads them all, and memory pressure and a cgroup's events too.
func ExamplePollSet_AddFD_kernel() {
	dir, err := os.MkdirTemp("", "efd-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	runtime.LockOSThread() // a signalfd has the signals of the thread that polls it
	defer runtime.UnlockOSThread()
	usr2, err := efd.NewSigSet(unix.SIGUSR2)
	if err != nil {
		log.Fatal(err)
	}
	err = efd.WithSigMask(usr2, func() error {
		inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		if err != nil {
			return err
		}
		defer unix.Close(inotify)
		if _, err := unix.InotifyAddWatch(inotify, dir, unix.IN_CREATE); err != nil {
			return err
		}
		timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
		if err != nil {
			return err
		}
		defer unix.Close(timer)
		if err := unix.TimerfdSettime(timer, 0, &unix.ItimerSpec{Value: unix.Timespec{Nsec: 1}}, nil); err != nil {
			return err
		}
		mask := usr2.Sigset()
		signals, err := unix.Signalfd(-1, &mask, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK)
		if err != nil {
			return err
		}
		defer unix.Close(signals)

		var set efd.PollSet
		defer set.Close() // before the descriptors
		names := map[syscall.Conn]string{efd.FD(inotify): "inotify", efd.FD(timer): "timerfd", efd.FD(signals): "signalfd"}
		for fd := range names {
			if err := set.Add(fd, efd.POLLIN); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
			return err
		}
		unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR2)
		var came []string
		for len(names) > 0 {
			if _, err := set.Wait(efd.Forever, nil); err != nil {
				return err
			}
			for c := range set.Ready() {
				came = append(came, names[c])
				delete(names, c)
				set.Remove(c) // a loop reads it instead
			}
		}
		unix.Read(signals, make([]byte, 128)) // takes the signal: it is pending no more
		slices.Sort(came)
		fmt.Println(came)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: [inotify signalfd timerfd]
}

// Every call as strace prints it, and the path that the kernel takes in it. The
// calls of other handles cost next to nothing.
func ExampleAddTracerOf() {
	e, err := efd.New(0, 0)
	if err != nil {
		log.Fatal(err)
	}
	remove := efd.AddTracerOf(func(c *efd.Call) { fmt.Println(c.Syscall, c.Ret, c.Errno == unix.EAGAIN, c.Path().Name) }, e)
	defer remove()
	e.Write(1)
	e.Read()
	e.Read()
	e.Close()
	// Output:
	// write 8 false eventfd_write
	// read 8 false eventfd_read
	// read -1 true eventfd_read
	// close 0 false eventfd_release
}
