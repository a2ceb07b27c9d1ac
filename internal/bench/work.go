//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/eventfd"
)

// work is one contender's way to do a row: prepare returns a function that does
// n operations, and one that cleans up.
type work func(size int) (run func(n int), done func())

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func must1[T any](v T, err error) T {
	must(err)
	return v
}

func one(n int, err error) {
	if n != 1 || err != nil {
		panic(err)
	}
}

// fleet holds the handles that eventfds made, by size.
var fleet = map[int][]*efd.EventFD{}

// eventfds returns size of them, the same to all contenders. The one in the
// middle is readable.
func eventfds(size int) []*efd.EventFD {
	if fleet[size] == nil {
		for range size {
			fleet[size] = append(fleet[size], must1(efd.New(0, 0)))
		}
		must(fleet[size][size/2].Write(1))
	}
	return fleet[size]
}

func pairEFD(int) (func(int), func()) {
	e := must1(efd.New(0, 0))
	return func(n int) {
		for range n {
			must(e.Write(1))
			must1(e.Read())
		}
	}, func() { e.Close() }
}

func pairUnix(int) (func(int), func()) {
	fd := must1(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
	return func(n int) {
		var b [8]byte
		for range n {
			binary.NativeEndian.PutUint64(b[:], 1)
			must1(unix.Write(fd, b[:]))
			must1(unix.Read(fd, b[:]))
		}
	}, func() { unix.Close(fd) }
}

func pairFile(int) (func(int), func()) {
	f := os.NewFile(uintptr(must1(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))), "eventfd")
	b := make([]byte, 8)
	return func(n int) {
		for range n {
			binary.NativeEndian.PutUint64(b, 1)
			must1(f.Write(b))
			must1(f.Read(b))
		}
	}, func() { f.Close() }
}

func pairGvisor(int) (func(int), func()) {
	e := must1(eventfd.Create())
	return func(n int) {
		for range n {
			must(e.Write(1))
			must1(e.Read())
		}
	}, func() { e.Close() }
}

func pollEFD(timeout time.Duration) work {
	return func(int) (func(int), func()) {
		list := eventfds(1)
		fds := []efd.PollFD{{FD: int32(list[0].FD()), Events: efd.POLLIN}}
		return func(n int) {
			for range n {
				one(efd.Poll(fds, timeout, nil))
			}
		}, nop
	}
}

func pollUnix(timeout time.Duration) work {
	return func(int) (func(int), func()) {
		list := eventfds(1)
		fds := []unix.PollFd{{Fd: int32(list[0].FD()), Events: unix.POLLIN}}
		return func(n int) {
			for range n {
				ts := unix.NsecToTimespec(int64(timeout))
				one(unix.Ppoll(fds, &ts, nil))
			}
		}, nop
	}
}

func selectEFD(timeout time.Duration) work {
	return func(int) (func(int), func()) {
		list := eventfds(1)
		var r efd.FDSet
		fd := list[0].FD()
		return func(n int) {
			for range n {
				must(r.Add(fd))
				one(efd.Select(&r, nil, nil, timeout, nil))
			}
		}, nop
	}
}

func selectUnix(timeout time.Duration) work {
	return func(int) (func(int), func()) {
		list := eventfds(1)
		fd := list[0].FD()
		return func(n int) {
			var r unix.FdSet
			for range n {
				ts := unix.NsecToTimespec(int64(timeout))
				r.Set(fd)
				one(unix.Pselect(fd+1, &r, nil, nil, &ts, nil))
			}
		}, nop
	}
}

func epollEFD(timeout time.Duration) work {
	return func(int) (func(int), func()) {
		list := eventfds(1)
		p := must1(efd.NewEpoll())
		must(p.AddConn(list[0], efd.EPOLLIN, 0))
		events := make([]efd.EpollEvent, 8)
		return func(n int) {
			for range n {
				one(p.Wait(events, timeout, nil))
			}
		}, func() { p.Close() }
	}
}

func epollUnix(timeout time.Duration) work {
	return func(int) (func(int), func()) {
		list := eventfds(1)
		fd := must1(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
		must(unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, list[0].FD(), &unix.EpollEvent{Events: unix.EPOLLIN}))
		events := make([]unix.EpollEvent, 8)
		return func(n int) {
			for range n {
				one(unix.EpollWait(fd, events, int(timeout/time.Millisecond)))
			}
		}, func() { unix.Close(fd) }
	}
}

func pollSet(timeout time.Duration) work {
	return func(size int) (func(int), func()) {
		list := eventfds(size)
		s := new(efd.PollSet)
		for _, e := range list {
			must(s.Add(e, efd.POLLIN))
		}
		return func(n int) {
			for range n {
				one(s.Wait(timeout, nil))
			}
		}, func() { s.Close() }
	}
}

// pollSlice is the code of a user of x/sys/unix in place of a PollSet.
func pollSlice(timeout time.Duration) work {
	return func(size int) (func(int), func()) {
		list := eventfds(size)
		fds := make([]unix.PollFd, size)
		for i, e := range list {
			fds[i] = unix.PollFd{Fd: int32(e.FD()), Events: unix.POLLIN}
		}
		return func(n int) {
			for range n {
				ts := unix.NsecToTimespec(int64(timeout))
				one(unix.Ppoll(fds, &ts, nil))
			}
		}, nop
	}
}

// sides makes two threads on one CPU that wake each other in turn. wait makes,
// for one side, the function that waits for its eventfd and takes it.
func sides(flags efd.Flag, wait func(e *efd.EventFD) (take func(), done func())) work {
	return func(int) (func(int), func()) {
		a, b := must1(efd.New(0, flags)), must1(efd.New(0, flags))
		takeA, doneA := wait(a)
		takeB, doneB := wait(b)
		return func(n int) {
				var wg sync.WaitGroup
				wg.Go(func() {
					onOneCPU(func() {
						for range n {
							takeB()
							must(a.Write(1))
						}
					})
				})
				wg.Go(func() {
					onOneCPU(func() {
						for range n {
							must(b.Write(1))
							takeA()
						}
					})
				})
				wg.Wait()
			}, func() {
				doneA()
				doneB()
				a.Close()
				b.Close()
			}
	}
}

// onOneCPU runs fn on a thread that is bound to the first CPU. The thread ends
// with it.
func onOneCPU(fn func()) {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(0)
	must(unix.SchedSetaffinity(0, &set))
	fn()
}

func nop() {}

func waitPoll(e *efd.EventFD) (func(), func()) {
	fds := []efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}
	return func() { one(efd.Poll(fds, efd.Forever, nil)); must1(e.Read()) }, nop
}

func waitSelect(e *efd.EventFD) (func(), func()) {
	var r efd.FDSet
	fd := e.FD()
	return func() { must(r.Add(fd)); one(efd.Select(&r, nil, nil, efd.Forever, nil)); must1(e.Read()) }, nop
}

func waitEpoll(e *efd.EventFD) (func(), func()) {
	p := must1(efd.NewEpoll())
	must(p.AddConn(e, efd.EPOLLIN, 0))
	events := make([]efd.EpollEvent, 1)
	return func() { one(p.Wait(events, efd.Forever, nil)); must1(e.Read()) }, func() { p.Close() }
}

func waitRead(e *efd.EventFD) (func(), func()) { return func() { must1(e.Read()) }, nop }

func waitUnixPoll(e *efd.EventFD) (func(), func()) {
	fds := []unix.PollFd{{Fd: int32(e.FD()), Events: unix.POLLIN}}
	return func() { one(unix.Ppoll(fds, nil, nil)); must1(e.Read()) }, nop
}

func waitUnixSelect(e *efd.EventFD) (func(), func()) {
	fd := e.FD()
	var r unix.FdSet
	return func() { r.Set(fd); one(unix.Pselect(fd+1, &r, nil, nil, nil, nil)); must1(e.Read()) }, nop
}

func waitUnixEpoll(e *efd.EventFD) (func(), func()) {
	p := must1(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	must(unix.EpollCtl(p, unix.EPOLL_CTL_ADD, e.FD(), &unix.EpollEvent{Events: unix.EPOLLIN}))
	events := make([]unix.EpollEvent, 1)
	return func() { one(unix.EpollWait(p, events, -1)); must1(e.Read()) }, func() { unix.Close(p) }
}

func waitUnixRead(e *efd.EventFD) (func(), func()) {
	fd := e.FD()
	b := make([]byte, 8)
	return func() { must1(unix.Read(fd, b)) }, nop
}

// goroutines is sides without threads of their own: both wait in Go's poller.
func goroutines(wait func() (read, write func(), done func())) work {
	return func(int) (func(int), func()) {
		readA, writeA, doneA := wait()
		readB, writeB, doneB := wait()
		return func(n int) {
			var wg sync.WaitGroup
			wg.Go(func() {
				for range n {
					readB()
					writeA()
				}
			})
			wg.Go(func() {
				for range n {
					writeB()
					readA()
				}
			})
			wg.Wait()
		}, func() { doneA(); doneB() }
	}
}

func contextEFD() (read, write func(), done func()) {
	e := must1(efd.New(0, 0))
	ctx := context.Background()
	return func() { must1(e.ReadContext(ctx)) }, func() { must(e.Write(1)) }, func() { e.Close() }
}

func contextFile() (read, write func(), done func()) {
	f := os.NewFile(uintptr(must1(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))), "eventfd")
	in, out := make([]byte, 8), make([]byte, 8)
	binary.NativeEndian.PutUint64(out, 1)
	return func() { must1(f.Read(in)) }, func() { must1(f.Write(out)) }, func() { f.Close() }
}
