//go:build linux

package explain

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A mistake is a program that makes it, and one that is mended. The calls are
// raw ones of one thread, apart from all that Go's runtime does.
type mistake struct {
	name, code string
	kernel     string // that the log is said to be of
	hangs      bool   // the program is killed in its last wait
	do         func(mended bool)
}

// turns leave a row that is long enough though the scheduler breaks in a few times.
const turns = 64

// must ends the program if a call fails that has to succeed.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func ok(err error) { must(0, err) }

func newEventfd() int { return must(unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)) }

func bump(fd int) {
	must(unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1)))
}

func take(fd, size int) (int, error) { return unix.Read(fd, make([]byte, size)) }

func pair() (a, b int) {
	p := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0))
	return p[0], p[1]
}

func pipe() (r, w int) {
	p := make([]int, 2)
	ok(unix.Pipe2(p, unix.O_NONBLOCK|unix.O_CLOEXEC))
	return p[0], p[1]
}

func epollOf(fd int, events uint32) int {
	ep := must(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	control(ep, unix.EPOLL_CTL_ADD, fd, events)
	return ep
}

func control(ep, op, fd int, events uint32) {
	ok(unix.EpollCtl(ep, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}))
}

// epollWait is epoll_pwait, which every machine has.
func epollWait(ep, ms int) int {
	events := make([]unix.EpollEvent, 8)
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), 8, uintptr(ms), 0, 0)
	if errno != 0 {
		panic(errno)
	}
	return int(n)
}

func poll(ms int, fds ...unix.PollFd) int { return must(unix.Poll(fds, ms)) }

// hang waits for ever: another thread kills the program once this one sleeps.
func hang(ep int) {
	tid := unix.Gettid()
	go func() {
		runtime.LockOSThread()
		awaitSleep(tid)
		ok(unix.Kill(unix.Getpid(), unix.SIGKILL))
	}()
	epollWait(ep, -1)
	panic("the wait returned")
}

// awaitSleep returns once a thread sleeps in a wait.
func awaitSleep(tid int) {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); runtime.Gosched() {
		b := make([]byte, 256)
		fd := must(unix.Open(fmt.Sprintf("/proc/self/task/%d/syscall", tid), unix.O_RDONLY|unix.O_CLOEXEC, 0))
		n := must(unix.Read(fd, b))
		ok(unix.Close(fd))
		nr, _, _ := strings.Cut(string(b[:n]), " ")
		if nr == fmt.Sprint(unix.SYS_EPOLL_PWAIT) {
			return
		}
	}
	panic(fmt.Sprintf("thread %d is not asleep in a wait after 30 s", tid))
}

// inThread runs f in a thread of its own, to its end.
func inThread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		f()
		close(done)
	}()
	<-done
}

func limit(soft uint64) (before unix.Rlimit) {
	ok(unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	ok(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: before.Max}))
	return before
}

// listener has connections that wait to be accepted.
func listener(connections int) int {
	l := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0))
	ok(unix.Bind(l, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	ok(unix.Listen(l, 16))
	for range connections {
		connect(l)
	}
	return l
}

func connect(l int) {
	c := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	ok(unix.Connect(c, must(unix.Getsockname(l))))
}

var mistakes = []mistake{
	{name: "spin-unread", code: "spin-unread", do: func(mended bool) {
		e := newEventfd()
		ep := epollOf(e, unix.EPOLLIN)
		bump(e)
		for range turns {
			epollWait(ep, -1)
			if mended {
				must(take(e, 8))
				inThread(func() { bump(e) })
			}
		}
	}},
	{name: "spin-unread by select", code: "spin-unread", do: func(mended bool) {
		r, w := pipe()
		must(unix.Write(w, make([]byte, turns)))
		for range turns {
			var set unix.FdSet
			set.Set(r)
			must(unix.Select(r+1, &set, nil, nil, &unix.Timeval{Sec: 5}))
			if mended {
				must(take(r, 1))
			}
		}
	}},
	{name: "spin-hangup", code: "spin-hangup", do: func(mended bool) {
		r, w := pipe()
		ok(unix.Close(w))
		for range turns {
			poll(-1, unix.PollFd{Fd: int32(r), Events: unix.POLLIN})
			if mended {
				ok(unix.Close(r))
				return
			}
		}
	}},
	{name: "spin-error", code: "spin-error", do: func(mended bool) {
		r, w := pipe()
		ok(unix.Close(r))
		for range turns {
			poll(-1, unix.PollFd{Fd: int32(w)})
			if mended {
				ok(unix.Close(w))
				return
			}
		}
	}},
	{name: "spin-eof", code: "spin-eof", do: func(mended bool) {
		a, b := pair()
		ok(unix.Close(b))
		ep := epollOf(a, unix.EPOLLIN)
		for range turns {
			epollWait(ep, -1)
			if n := must(take(a, 64)); n == 0 && mended {
				ok(unix.Close(a))
				return
			}
		}
	}},
	{name: "spin-output", code: "spin-output", do: func(mended bool) {
		a, _ := pair()
		ep := epollOf(a, unix.EPOLLIN|unix.EPOLLOUT)
		for range turns {
			epollWait(ep, 1)
			if mended {
				control(ep, unix.EPOLL_CTL_MOD, a, unix.EPOLLIN)
				mended = false
				ep = epollOf(a, unix.EPOLLIN)
			}
		}
	}},
	{name: "spin-zero-timeout", code: "spin-zero-timeout", do: func(mended bool) {
		e, ms := newEventfd(), 0
		if mended {
			ms = 1
		}
		for range 40 * turns {
			poll(ms, unix.PollFd{Fd: int32(e), Events: unix.POLLIN})
		}
	}},
	{name: "eagain-spin", code: "eagain-spin", do: func(mended bool) {
		e := newEventfd()
		for range turns {
			take(e, 8)
			if mended {
				poll(1, unix.PollFd{Fd: int32(e), Events: unix.POLLIN})
			}
		}
	}},
	{name: "accept-emfile", code: "accept-emfile", do: func(mended bool) {
		l := listener(4)
		ep := epollOf(l, unix.EPOLLIN)
		spare := must(unix.Dup(l))
		ok(unix.Close(spare))
		before := limit(uint64(spare)) // which is the lowest number that is free
		for range 6 {
			if epollWait(ep, 0) == 0 {
				return
			}
			if _, _, err := unix.Accept4(l, unix.SOCK_CLOEXEC); err != nil && mended {
				ok(unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
			}
		}
	}},
	{name: "ghost-registration", code: "ghost-registration", do: func(mended bool) {
		r, w := pipe()
		must(unix.Dup(r))
		must(unix.Write(w, []byte("x")))
		ep := epollOf(r, unix.EPOLLIN)
		if mended {
			control(ep, unix.EPOLL_CTL_DEL, r, 0)
		}
		ok(unix.Close(r))
		for range turns {
			if epollWait(ep, 1) > 0 {
				unix.EpollCtl(ep, unix.EPOLL_CTL_DEL, r, nil)
			}
		}
	}},
	{name: "registration-left", code: "registration-left", do: func(mended bool) {
		e := newEventfd()
		must(unix.Dup(e))
		ep := epollOf(e, unix.EPOLLIN)
		if mended {
			control(ep, unix.EPOLL_CTL_DEL, e, 0)
		}
		ok(unix.Close(e))
		epollWait(ep, 1)
	}},
	{name: "modify-unchanged", code: "modify-unchanged", do: func(mended bool) {
		e := newEventfd()
		ep := epollOf(e, unix.EPOLLIN)
		for range turns {
			inThread(func() { bump(e) })
			if !mended {
				control(ep, unix.EPOLL_CTL_MOD, e, unix.EPOLLIN)
			}
			epollWait(ep, -1)
			must(take(e, 8))
			poll(1)
		}
	}},
	{name: "lost-edge, not drained", code: "lost-edge", hangs: true, do: func(mended bool) {
		a, b := pair()
		ep := epollOf(a, unix.EPOLLIN|unix.EPOLLET)
		must(unix.Write(b, []byte("sixteen bytes...")))
		epollWait(ep, -1)
		for {
			if _, err := take(a, 8); err != nil || !mended {
				break
			}
		}
		hang(ep)
	}},
	{name: "lost-edge, not armed again", code: "lost-edge", hangs: true, do: func(mended bool) {
		e := newEventfd()
		ep := epollOf(e, unix.EPOLLIN|unix.EPOLLONESHOT)
		bump(e)
		epollWait(ep, -1)
		must(take(e, 8))
		if mended {
			control(ep, unix.EPOLL_CTL_MOD, e, unix.EPOLLIN|unix.EPOLLONESHOT)
		}
		hang(ep)
	}},
	{name: "lost-edge, EPOLLOUT taken back", code: "lost-edge", hangs: true, do: func(mended bool) {
		a, _ := pair()
		ep := epollOf(a, unix.EPOLLIN)
		for {
			if _, err := unix.Write(a, make([]byte, 1<<16)); err != nil {
				break
			}
		}
		control(ep, unix.EPOLL_CTL_MOD, a, unix.EPOLLIN|unix.EPOLLOUT)
		if !mended {
			control(ep, unix.EPOLL_CTL_MOD, a, unix.EPOLLIN)
		}
		hang(ep)
	}},
	{name: "waits-for", code: "waits-for", hangs: true, do: func(mended bool) {
		e := newEventfd()
		ep := epollOf(e, unix.EPOLLIN)
		if mended {
			bump(e)
			epollWait(ep, -1)
			must(take(e, 8))
			return
		}
		hang(ep)
	}},
	{name: "thundering-herd", code: "thundering-herd", do: func(mended bool) {
		l := listener(0)
		events := uint32(unix.EPOLLIN)
		if mended {
			events |= unix.EPOLLEXCLUSIVE
		}
		for range 4 {
			tids, woke, accept, done := make(chan int), make(chan bool), make(chan bool), make(chan bool)
			for range 2 {
				go func() {
					runtime.LockOSThread()
					ep := epollOf(l, events)
					tids <- unix.Gettid()
					epollWait(ep, -1)
					woke <- true
					<-accept
					unix.Accept4(l, unix.SOCK_CLOEXEC)
					ok(unix.Close(ep))
					done <- true
				}()
			}
			awaitSleep(<-tids)
			awaitSleep(<-tids)
			connect(l)
			<-woke
			if !mended {
				<-woke // all are woken before anybody accepts
			}
			close(accept)
			<-done
			if mended {
				connect(l) // for the one that was left asleep
				<-woke
			}
			<-done
		}
	}},
	{name: "self-wake", code: "self-wake", do: func(mended bool) {
		e := newEventfd()
		for range turns {
			if mended {
				inThread(func() { bump(e) })
			} else {
				bump(e)
			}
			poll(-1, unix.PollFd{Fd: int32(e), Events: unix.POLLIN})
			must(take(e, 8))
		}
	}},
	{name: "wrong-unit", code: "wrong-unit", do: func(mended bool) {
		t := unix.Timespec{Nsec: 1_000_000_000}
		if mended {
			t = unix.Timespec{Nsec: 1_000_000}
		}
		unix.Ppoll(nil, &t, nil)
	}},
	{name: "fd-above-setsize", code: "fd-above-setsize", do: func(mended bool) {
		const high = 1500
		e := newEventfd()
		limit(high + 1)
		ok(unix.Dup3(e, high, unix.O_CLOEXEC))
		if mended {
			poll(1, unix.PollFd{Fd: high, Events: unix.POLLIN})
			return
		}
		var set [2048 / 8]byte // where a program would have an fd_set of 1024 bits
		set[high/8] |= 1 << (high % 8)
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			return // the bits of a long are in another order
		}
		unix.Syscall6(unix.SYS_PSELECT6, high+1, uintptr(unsafe.Pointer(&set)), 0, 0, uintptr(unsafe.Pointer(&unix.Timespec{Nsec: 1_000_000})), 0)
	}},
	{name: "timer-in-past", code: "timer-in-past", do: func(mended bool) {
		t := must(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC))
		for range 5 {
			var now unix.Timespec // with the system call, which strace sees
			unix.Syscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&now)), 0)
			at := unix.Timespec{Sec: 0, Nsec: 5_000_000}
			if mended {
				at = unix.NsecToTimespec(now.Nano() + 5e9)
			}
			ok(unix.TimerfdSettime(t, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: at}, nil))
			if !mended {
				must(take(t, 8))
			}
		}
	}},
	{name: "closed-by-other", code: "closed-by-other", do: func(mended bool) {
		e := newEventfd()
		ep := epollOf(e, unix.EPOLLIN)
		if mended {
			control(ep, unix.EPOLL_CTL_DEL, e, 0)
			inThread(func() { ok(unix.Close(e)) })
			return
		}
		inThread(func() { ok(unix.Close(e)) })
		unix.EpollCtl(ep, unix.EPOLL_CTL_DEL, e, nil)
	}},
	{name: "closed-by-other, closed twice", code: "closed-by-other", do: func(mended bool) {
		e := newEventfd()
		inThread(func() { ok(unix.Close(e)) })
		if !mended {
			unix.Close(e)
		}
	}},
	{name: "duplicate-member", code: "duplicate-member", do: func(mended bool) {
		p := unix.PollFd{Fd: int32(newEventfd()), Events: unix.POLLIN}
		if mended {
			poll(1, p)
			return
		}
		poll(1, p, p, p)
	}},
	{name: "nval", code: "nval", do: func(mended bool) {
		e := newEventfd()
		fd := int32(e)
		ok(unix.Close(e))
		if mended {
			fd = -1
		}
		for range 3 {
			poll(1, unix.PollFd{Fd: fd, Events: unix.POLLIN})
		}
	}},
	{name: "never-read", code: "never-read", do: func(mended bool) {
		e := newEventfd()
		take(e, 8)
		bump(e)
		if mended {
			must(take(e, 8))
		}
		ok(unix.Close(e))
	}},
	{name: "refused-file", code: "refused-file", do: func(mended bool) {
		f := must(unix.Open(must(os.Executable()), unix.O_RDONLY|unix.O_CLOEXEC, 0))
		if mended {
			must(take(f, 8))
			return
		}
		ep := must(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
		unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, f, &unix.EpollEvent{Events: unix.EPOLLIN})
	}},
	{name: "kernel-bug", code: "kernel-bug", kernel: "6.14.7", hangs: true, do: func(mended bool) {
		// The mended program is the same one, on a kernel that has the fix.
		e := newEventfd()
		ep := epollOf(e, unix.EPOLLIN)
		tid := unix.Gettid()
		go func() {
			runtime.LockOSThread()
			awaitSleep(tid)
			ok(unix.Kill(unix.Getpid(), unix.SIGKILL))
		}()
		epollWait(ep, 600_000)
	}},
}
