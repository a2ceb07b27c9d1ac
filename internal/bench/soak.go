//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// soakLimit is the memory, in KB, that a program may have at most while it
// observes itself.
const soakLimit = 64 << 10

// soaking observes this program, which is busy, and prints the cost. It fails
// if records were lost, a call chain is not the documented one, or memory grows
// over the limit.
func soaking() error {
	var wakes, findings atomic.Int64
	o, err := efd.Observe(efd.OnWake(func(w efd.Wake) {
		wakes.Add(1)
		for _, p := range []efd.Path{w.Path, w.Sleep} {
			for _, e := range p.Edges {
				if e.Verdict == efd.Contradicted || e.Verdict == efd.Undocumented {
					findings.Add(1)
					fmt.Printf("%s %s -> %s: %s\n", e.Verdict, e.Caller, e.Callee, e.Evidence)
				}
			}
		}
	}))
	if err != nil {
		return err
	}
	stop, cancel := context.WithTimeout(context.Background(), *soak)
	defer cancel()
	began := time.Now()
	ended := make(chan struct{})
	for _, busy := range []func(){busyPoll, busyEpoll, busyGoroutines, busyMaking} {
		go func() {
			for stop.Err() == nil {
				// At work for a quarter of the time: four of these are one processor's.
				began := time.Now()
				busy()
				time.Sleep(min(3*time.Since(began), 100*time.Millisecond))
			}
			ended <- struct{}{}
		}()
	}
	report := time.NewTicker(*soak / 10)
	defer report.Stop()
	for running := 4; running > 0; {
		select {
		case <-ended:
			running--
		case <-report.C:
			fmt.Printf("%6.0f s  %10d wakes  %6d KB at most\n", time.Since(began).Seconds(), wakes.Load(), peakMemory())
		}
	}
	took := time.Since(began)
	r, err := o.Stop()
	if err != nil {
		return err
	}
	fmt.Printf("%d wakes in %.0f s (%.0f a second), %d reported, %d records lost %v, %d findings, VmHWM %d KB\n",
		r.Total, took.Seconds(), float64(r.Total)/took.Seconds(), wakes.Load(), r.Lost, r.LostBy, findings.Load(), peakMemory())
	if r.Lost > 0 || findings.Load() > 0 || peakMemory() > soakLimit || r.Total == 0 || int64(r.Total) != wakes.Load() {
		return errors.New("records were lost, a path was another, or memory grew")
	}
	return nil
}

// busyPoll has two threads wake each other out of ppoll.
func busyPoll() { pingPong(1000) }

// busyEpoll has a thread wait in epoll for a pipe, a socket and an eventfd, and
// another one make them ready.
func busyEpoll() {
	e, ep := must1(efd.New(0, 0)), must1(efd.NewEpoll())
	defer e.Close()
	defer ep.Close()
	var p, s [2]int
	must(unix.Pipe2(p[:], unix.O_CLOEXEC))
	s = must1(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	for _, fd := range append(p[:], s[:]...) {
		defer unix.Close(fd)
	}
	for i, fd := range []int{e.FD(), p[0], s[0]} {
		must(ep.Add(fd, efd.EPOLLIN, uint64(i)))
	}
	const rounds = 300
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		events, b := make([]efd.EpollEvent, 4), make([]byte, 8)
		for got := 0; got < 3*rounds; {
			n := must1(ep.Wait(events, efd.Forever, nil))
			for _, ev := range events[:n] {
				switch ev.Data() {
				case 0:
					got += int(must1(e.Read()))
				case 1:
					got += must1(unix.Read(p[0], b))
				case 2:
					got += must1(unix.Read(s[0], b))
				}
			}
		}
	}()
	for range rounds {
		must(e.Write(1))
		must1(unix.Write(p[1], []byte{1}))
		must1(unix.Write(s[1], []byte{1}))
	}
	<-done
}

// busyGoroutines has goroutines hand each other numbers through the runtime's
// own poller.
func busyGoroutines() {
	a, b := must1(efd.New(0, 0)), must1(efd.New(0, 0))
	defer a.Close()
	defer b.Close()
	const rounds = 300
	go func() {
		for range rounds {
			if _, err := a.ReadContext(context.Background()); err != nil {
				return
			}
			b.Write(1)
		}
	}()
	for range rounds {
		must(a.Write(1))
		must1(b.ReadContext(context.Background()))
	}
}

// busyMaking makes threads that wait with a time-out and end.
func busyMaking() {
	const threads = 20
	done := make(chan struct{})
	for range threads {
		go func() {
			runtime.LockOSThread() // so that the thread ends too
			e := must1(efd.New(0, 0))
			efd.Poll([]efd.PollFD{{FD: int32(e.FD()), Events: efd.POLLIN}}, time.Millisecond, nil)
			e.Close()
			done <- struct{}{}
		}()
	}
	for range threads {
		<-done
	}
}

// peakMemory is the most that this process has had, in KB.
func peakMemory() (kb int) {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Sscan(v, &kb)
		}
	}
	return kb
}
