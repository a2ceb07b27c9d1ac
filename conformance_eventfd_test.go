//go:build linux

package efd_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var eventfdCases = []conformanceCase{
	{"initial value is the count", func(t *testing.T) { readsOf(t, newEventFD(t, 5, 0), 5) }},
	{"initial value 0 is empty", func(t *testing.T) { readsOf(t, newEventFD(t, 0, 0)) }},
	{"initial value of all 32 bits", func(t *testing.T) { readsOf(t, newEventFD(t, math.MaxUint32, 0), math.MaxUint32) }},
	{"read takes the whole count", func(t *testing.T) {
		e := newEventFD(t, 3, 0)
		check(t, e.Write(4))
		readsOf(t, e, 7)
	}},
	{"write adds", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		for i := range uint64(10) {
			check(t, e.Write(i))
		}
		readsOf(t, e, 45)
	}},
	{"write 0 is allowed and leaves an empty counter empty", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, e.Write(0))
		equal(t, "events", pollOne(t, e.FD(), efd.POLLIN), 0)
	}},
	{"write 0 leaves a count as it is", func(t *testing.T) {
		e := newEventFD(t, 9, 0)
		check(t, e.Write(0))
		readsOf(t, e, 9)
	}},
	{"write MaxCount to an empty counter", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, e.Write(efd.MaxCount))
		readsOf(t, e, efd.MaxCount)
	}},
	{"write to exactly MaxCount", func(t *testing.T) {
		e := newEventFD(t, 4, 0)
		check(t, e.Write(efd.MaxCount-4))
		readsOf(t, e, efd.MaxCount)
	}},
	{"write past MaxCount is EAGAIN and adds nothing", func(t *testing.T) {
		e := newEventFD(t, 4, 0)
		wantErr(t, "Write", e.Write(efd.MaxCount-3), unix.EAGAIN)
		readsOf(t, e, 4)
	}},
	{"write 0 to a full counter", func(t *testing.T) {
		e := full(t)
		check(t, e.Write(0))
		readsOf(t, e, efd.MaxCount)
	}},
	{"write 1 to a full counter is EAGAIN", func(t *testing.T) { wantErr(t, "Write", full(t).Write(1), unix.EAGAIN) }},
	{"write 2^64-1 is EINVAL, before the call", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		equal(t, "calls", calls(t, func() { wantErr(t, "Write", e.Write(math.MaxUint64), unix.EINVAL) }), "")
		readsOf(t, e, 1)
	}},
	{"write of less than 8 bytes is EINVAL", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		_, err := unix.Write(e.FD(), make([]byte, 7))
		wantErr(t, "write", err, unix.EINVAL)
	}},
	{"read of less than 8 bytes is EINVAL", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		_, err := unix.Read(e.FD(), make([]byte, 4))
		wantErr(t, "read", err, unix.EINVAL)
		readsOf(t, e, 1)
	}},
	{"read into more than 8 bytes fills 8", func(t *testing.T) {
		b := make([]byte, 64)
		n, err := unix.Read(newEventFD(t, 258, 0).FD(), b)
		check(t, err)
		equal(t, "bytes", n, 8)
		equal(t, "count", binary.NativeEndian.Uint64(b), 258)
	}},
	{"pread is ESPIPE", func(t *testing.T) {
		_, err := unix.Pread(newEventFD(t, 1, 0).FD(), make([]byte, 8), 0)
		wantErr(t, "pread", err, unix.ESPIPE)
	}},
	{"pwrite is ESPIPE", func(t *testing.T) {
		_, err := unix.Pwrite(newEventFD(t, 1, 0).FD(), make([]byte, 8), 0)
		wantErr(t, "pwrite", err, unix.ESPIPE)
	}},
	{"lseek finds no position", func(t *testing.T) {
		if off, err := unix.Seek(newEventFD(t, 1, 0).FD(), 10, 0); err == nil && off != 0 {
			t.Errorf("lseek = %d", off)
		}
	}},
	{"counts above 2^32 and 2^63", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		check(t, e.Write(1<<40))
		check(t, e.Write(1<<63))
		readsOf(t, e, 1<<63+1<<40+1)
	}},
	{"semaphore read takes 1", func(t *testing.T) { readsOf(t, newEventFD(t, 3, efd.Semaphore), 1, 1, 1) }},
	{"semaphore write gives that many reads", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Semaphore)
		check(t, e.Write(2))
		readsOf(t, e, 1, 1)
	}},
	{"semaphore stays readable until it is empty", func(t *testing.T) {
		e := newEventFD(t, 2, efd.Semaphore)
		e.Read()
		equal(t, "after one read", pollOne(t, e.FD(), efd.POLLIN), efd.POLLIN)
		e.Read()
		equal(t, "after two", pollOne(t, e.FD(), efd.POLLIN), 0)
	}},
	{"semaphore at MaxCount makes room by a read", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Semaphore)
		check(t, e.Write(efd.MaxCount))
		wantErr(t, "Write", e.Write(1), unix.EAGAIN)
		e.Read()
		check(t, e.Write(1))
	}},
	{"empty: writable, not readable", func(t *testing.T) {
		equal(t, "events", pollOne(t, newEventFD(t, 0, 0).FD(), efd.POLLIN|efd.POLLOUT), efd.POLLOUT)
	}},
	{"counted: readable and writable", func(t *testing.T) {
		equal(t, "events", pollOne(t, newEventFD(t, 1, 0).FD(), efd.POLLIN|efd.POLLOUT), efd.POLLIN|efd.POLLOUT)
	}},
	{"full: readable, not writable", func(t *testing.T) {
		equal(t, "events", pollOne(t, full(t).FD(), efd.POLLIN|efd.POLLOUT), efd.POLLIN)
	}},
	{"POLLOUT says that 1 fits, not more", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, e.Write(efd.MaxCount-1))
		equal(t, "events", pollOne(t, e.FD(), efd.POLLOUT), efd.POLLOUT)
		wantErr(t, "Write(2)", e.Write(2), unix.EAGAIN)
		check(t, e.Write(1))
	}},
	{"the kernel's own signals go one past MaxCount, and raise POLLERR", func(t *testing.T) {
		e := full(t)
		aioSignal(t, e)
		equal(t, "events", pollOne(t, e.FD(), efd.POLLIN|efd.POLLOUT), efd.POLLIN|efd.POLLERR)
		equal(t, "count", count(t, e), math.MaxUint64)
		readsOf(t, e, math.MaxUint64)
	}},
	{"blocking read sleeps until a write", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Blocking)
		var v uint64
		r := park(t, callRead, func() { v, _ = e.Read() })
		check(t, e.Write(7))
		r.wait(t)
		equal(t, "count", v, 7)
	}},
	{"blocking write sleeps until there is room", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Blocking)
		check(t, e.Write(efd.MaxCount))
		w := park(t, callWrite, func() { e.Write(2) })
		v, err := e.Read()
		check(t, err)
		w.wait(t)
		equal(t, "first read", v, efd.MaxCount)
		equal(t, "count", count(t, e), 2)
	}},
	{"blocking write sleeps on while there is too little room", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Blocking|efd.Semaphore)
		check(t, e.Write(efd.MaxCount))
		w := park(t, callWrite, func() { e.Write(2) })
		e.Read()
		waitAsleep(t, w.tid, callWrite)
		w.running(t)
		e.Read()
		w.wait(t)
	}},
	{"blocking semaphore wakes a reader for each unit", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Blocking|efd.Semaphore)
		var sum atomic.Uint64
		var sleepers []*parked
		for range 3 {
			sleepers = append(sleepers, park(t, callRead, func() { v, _ := e.Read(); sum.Add(v) }))
		}
		check(t, e.Write(3))
		for _, s := range sleepers {
			s.wait(t)
		}
		equal(t, "sum", sum.Load(), 3)
	}},
	{"of two blocked readers one takes a write", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Blocking)
		got := make(chan uint64, 2)
		for range 2 {
			park(t, callRead, func() { v, _ := e.Read(); got <- v })
		}
		check(t, e.Write(5))
		equal(t, "first", wait(t, got, "no reader woke"), 5)
		check(t, e.Write(6))
		equal(t, "second", wait(t, got, "the other reader did not wake"), 6)
	}},
	{"a blocking read restarts after a signal", func(t *testing.T) {
		c := notified(t, unix.SIGUSR1)
		e := newEventFD(t, 0, efd.Blocking)
		var err error
		r := park(t, callRead, func() { _, err = e.Read() })
		check(t, unix.Tgkill(os.Getpid(), r.tid, unix.SIGUSR1))
		wait(t, c, "no signal")
		waitAsleep(t, r.tid, callRead)
		check(t, e.Write(1))
		r.wait(t)
		check(t, err)
	}},
	{"New refuses a flag that is none", func(t *testing.T) {
		_, err := efd.New(0, 1<<3)
		wantErr(t, "New", err, unix.EINVAL)
		if err == nil || !strings.Contains(err.Error(), "0x8") {
			t.Errorf("%v does not name the flag", err)
		}
	}},
	{"New sets close-on-exec", func(t *testing.T) { equal(t, "FD_CLOEXEC", fdFlags(t, newEventFD(t, 0, 0).FD()), unix.FD_CLOEXEC) }},
	{"New of a Blocking one sets close-on-exec too", func(t *testing.T) {
		equal(t, "FD_CLOEXEC", fdFlags(t, newEventFD(t, 0, efd.Blocking|efd.Semaphore).FD()), unix.FD_CLOEXEC)
	}},
	{"New sets O_NONBLOCK", func(t *testing.T) { equal(t, "O_NONBLOCK", status(t, newEventFD(t, 0, 0).FD()), unix.O_NONBLOCK) }},
	{"Blocking leaves O_NONBLOCK out", func(t *testing.T) { equal(t, "O_NONBLOCK", status(t, newEventFD(t, 0, efd.Blocking).FD()), 0) }},
	{"Signal adds 1", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		check(t, e.Signal())
		readsOf(t, e, 2)
	}},
	{"Signal of a full counter is no error", func(t *testing.T) {
		e := full(t)
		check(t, e.Signal())
		readsOf(t, e, efd.MaxCount)
	}},
	{"Drain takes the count", func(t *testing.T) { drains(t, newEventFD(t, 4, 0), 4, 0) }},
	{"Drain of an empty counter is 0 and no error", func(t *testing.T) { drains(t, newEventFD(t, 0, 0), 0, 0) }},
	{"Drain of a semaphore takes 1", func(t *testing.T) { drains(t, newEventFD(t, 2, efd.Semaphore), 1, 1, 0) }},
	{"Info takes nothing", func(t *testing.T) {
		e := newEventFD(t, 255, 0)
		for range 3 {
			equal(t, "count", count(t, e), 255)
		}
		readsOf(t, e, 255)
	}},
	{"Info of MaxCount", func(t *testing.T) { equal(t, "count", count(t, full(t)), efd.MaxCount) }},
	{"Info tells a semaphore", func(t *testing.T) {
		for _, flags := range []efd.Flag{0, efd.Semaphore, efd.Blocking, efd.Semaphore | efd.Blocking} {
			info, err := newEventFD(t, 0, flags).Info()
			check(t, err)
			equal(t, "Semaphore", info.Semaphore, flags&efd.Semaphore != 0)
			equal(t, "O_RDWR", info.Flags&unix.O_ACCMODE, unix.O_RDWR)
			equal(t, "Blocking", info.Flags&unix.O_NONBLOCK == 0, flags&efd.Blocking != 0)
		}
	}},
	{"Info's id is an eventfd's own", func(t *testing.T) {
		a, err1 := newEventFD(t, 0, 0).Info()
		b, err2 := newEventFD(t, 0, 0).Info()
		check(t, errors.Join(err1, err2))
		if a.ID >= 0 && a.ID == b.ID {
			t.Errorf("two eventfds have id %d", a.ID)
		}
	}},
	{"the link in /proc names an eventfd", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, control(e, func(fd int) {
			if s, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil || s != "anon_inode:[eventfd]" {
				t.Errorf("%s, %v", s, err)
			}
		}))
	}},
	{"writers add up", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		var g sync.WaitGroup
		for i := range uint64(8) {
			g.Go(func() {
				for range 500 {
					e.Write(i)
				}
			})
		}
		g.Wait()
		readsOf(t, e, 500*28)
	}},
	{"readers take each unit once", func(t *testing.T) {
		const units = 4000
		e := newEventFD(t, units, efd.Semaphore)
		var sum atomic.Uint64
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() {
				for {
					v, err := e.Read()
					if err != nil {
						return
					}
					sum.Add(v)
				}
			})
		}
		g.Wait()
		equal(t, "sum", sum.Load(), units)
	}},
}

var handleCases = []conformanceCase{
	{"FD is -1 once closed", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, e.Close())
		equal(t, "FD", e.FD(), -1)
	}},
	{"a second Close is os.ErrClosed", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, e.Close())
		equal(t, "Close", e.Close(), os.ErrClosed)
	}},
	{"Close closes the number", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		equal(t, "calls", calls(t, func() { e.Close() }), "close")
	}},
	{"each method after Close is os.ErrClosed", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		raw, err := e.SyscallConn()
		check(t, err)
		check(t, e.Close())
		ctx := context.Background()
		eachClosed(t, map[string]func() error{
			"Read": func() error { _, err := e.Read(); return err }, "Write": func() error { return e.Write(1) }, "Signal": e.Signal,
			"Drain": func() error { _, err := e.Drain(); return err }, "ReadContext": func() error { _, err := e.ReadContext(ctx); return err },
			"WriteContext": func() error { return e.WriteContext(ctx, 1) }, "Info": func() error { _, err := e.Info(); return err },
			"Dup": func() error { _, err := e.Dup(); return err }, "File": func() error { _, err := e.File(); return err },
			"SyscallConn": func() error { _, err := e.SyscallConn(); return err }, "Close": e.Close,
			"Control": func() error { return raw.Control(func(uintptr) {}) }, "RawConn.Read": func() error { return raw.Read(func(uintptr) bool { return true }) },
		})
	}},
	{"the zero EventFD is closed", func(t *testing.T) {
		var e efd.EventFD
		equal(t, "FD", e.FD(), -1)
		eachClosed(t, map[string]func() error{"Write": func() error { return e.Write(1) }, "Close": e.Close})
	}},
	{"a blocked reader keeps the number until it returns", func(t *testing.T) {
		e := newEventFD(t, 0, efd.Blocking)
		d := dup(t, e)
		var v uint64
		r := park(t, callRead, func() { v, _ = e.Read() })
		check(t, e.Close())
		r.running(t)
		check(t, d.Write(3))
		r.wait(t)
		equal(t, "count", v, 3)
	}},
	{"Close while another uses the handle", func(t *testing.T) {
		for range 200 {
			e := newEventFD(t, 0, 0)
			var g sync.WaitGroup
			for range 2 {
				g.Go(func() {
					for e.Signal() == nil {
						if _, err := e.Drain(); err != nil && err != os.ErrClosed {
							t.Errorf("Drain: %v", err)
						}
					}
				})
			}
			g.Go(func() { e.Close() })
			g.Wait()
		}
	}},
	{"errors of the kernel name the call", func(t *testing.T) {
		_, err := newEventFD(t, 0, 0).Read()
		var sys *os.SyscallError
		if !errors.As(err, &sys) || sys.Syscall != "read" || sys.Err != unix.EAGAIN {
			t.Errorf("%#v", err)
		}
	}},
	{"frequent errors allocate nothing", func(t *testing.T) {
		empty, closed := newEventFD(t, 0, 0), newEventFD(t, 0, 0)
		closed.Close()
		noAllocs(t, func() { empty.Read() })
		noAllocs(t, func() { closed.Read() })
		noAllocs(t, func() { empty.Write(math.MaxUint64) })
	}},
	{"reads and writes allocate nothing", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		noAllocs(t, func() { e.Write(1); e.Read(); e.Signal(); e.Drain() })
	}},
	{"one method, one call", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		equal(t, "calls", calls(t, func() { e.Write(1); e.Signal(); e.Read(); e.Drain() }), "write write read read")
	}},
	{"Dup shares the counter", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		d := dup(t, e)
		check(t, d.Write(2))
		readsOf(t, e, 3)
	}},
	{"Dup has the same id", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		a, err1 := e.Info()
		b, err2 := dup(t, e).Info()
		check(t, errors.Join(err1, err2))
		equal(t, "id", b.ID, a.ID)
	}},
	{"Dup sets close-on-exec", func(t *testing.T) {
		equal(t, "FD_CLOEXEC", fdFlags(t, dup(t, newEventFD(t, 0, 0)).FD()), unix.FD_CLOEXEC)
	}},
	{"Dup lives on when the first closes", func(t *testing.T) {
		e := newEventFD(t, 1, 0)
		d := dup(t, e)
		check(t, e.Close())
		readsOf(t, d, 1)
	}},
	{"Dup of a semaphore is one", func(t *testing.T) { readsOf(t, dup(t, newEventFD(t, 2, efd.Semaphore)), 1, 1) }},
	{"Dup of a Blocking one is one", func(t *testing.T) {
		_, err := dup(t, newEventFD(t, 0, efd.Blocking)).ReadContext(context.Background())
		wantErr(t, "ReadContext", err, unix.EINVAL)
	}},
	{"File reads and writes the counter", func(t *testing.T) {
		swapped(t)
		e := newEventFD(t, 6, 0)
		f, err := e.File()
		check(t, err)
		defer f.Close()
		b := make([]byte, 8)
		_, err = f.Read(b)
		check(t, err)
		equal(t, "count", binary.NativeEndian.Uint64(b), 6)
		_, err = f.Write(b)
		check(t, err)
		check(t, f.Close())
		readsOf(t, e, 6)
	}},
	{"File is another number", func(t *testing.T) {
		e := newEventFD(t, 6, 0)
		f, err := e.File()
		check(t, err)
		defer f.Close()
		if int(f.Fd()) == e.FD() {
			t.Error("File has the handle's number")
		}
	}},
	{"a child gets it through ExtraFiles", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		f, err := e.File()
		check(t, err)
		defer f.Close()
		runChild(t, "write 41 to 3", f)
		check(t, e.Signal())
		readsOf(t, e, 42)
		equal(t, "O_NONBLOCK", status(t, e.FD()), unix.O_NONBLOCK)
	}},
	{"a child does not get it otherwise", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		id := fdInode(e.FD())
		if id == "" {
			t.Skip("needs eventfd-id in fdinfo, Linux 5.2")
		}
		t.Setenv("EFD_EVENTFD_ID", id)
		runChild(t, "has no such eventfd")
	}},
	{"SCM_RIGHTS hands it over", func(t *testing.T) {
		e := newEventFD(t, 2, efd.Semaphore)
		got := sendOver(t, e)
		check(t, e.Close())
		readsOf(t, got, 1, 1)
		equal(t, "FD_CLOEXEC", fdFlags(t, got.FD()), unix.FD_CLOEXEC)
	}},
	{"FromFD takes a foreign eventfd over", func(t *testing.T) {
		fd, err := unix.Eventfd(8, unix.EFD_NONBLOCK)
		check(t, err)
		e := fromFD(t, fd)
		equal(t, "FD", e.FD(), fd)
		equal(t, "FD_CLOEXEC", fdFlags(t, fd), unix.FD_CLOEXEC)
		readsOf(t, e, 8)
	}},
	{"FromFD leaves O_NONBLOCK alone", func(t *testing.T) {
		fd, err := unix.Eventfd(8, 0)
		check(t, err)
		e := fromFD(t, fd)
		equal(t, "O_NONBLOCK", status(t, fd), 0)
		_, err = e.ReadContext(context.Background())
		wantErr(t, "ReadContext", err, unix.EINVAL)
	}},
	{"FromFD of a semaphore", func(t *testing.T) {
		fd, err := unix.Eventfd(2, unix.EFD_NONBLOCK|unix.EFD_SEMAPHORE)
		check(t, err)
		readsOf(t, fromFD(t, fd), 1, 1)
	}},
	{"FromFD of a non-blocking one waits in Go's poller", func(t *testing.T) {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK)
		check(t, err)
		e := fromFD(t, fd)
		got := readsContext(e, context.Background())
		waitGoroutines(t, 1, "ReadContext", inPoller)
		check(t, e.Write(4))
		equal(t, "count", wait(t, got, "no read").v, 4)
	}},
	{"FromFD refuses a pipe, and leaves it open", func(t *testing.T) {
		r, _ := pipe(t)
		_, err := efd.FromFD(r.fd)
		wantErr(t, "FromFD", err, unix.EINVAL)
		_, err = unix.FcntlInt(uintptr(r.fd), unix.F_GETFD, 0)
		check(t, err)
	}},
	{"FromFD refuses an epoll", func(t *testing.T) {
		fd := own2(t)(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
		_, err := efd.FromFD(fd.fd)
		wantErr(t, "FromFD", err, unix.EINVAL)
	}},
	{"FromFD refuses a regular file", func(t *testing.T) {
		f, err := os.Open(os.Args[0])
		check(t, err)
		defer f.Close()
		_, err = efd.FromFD(int(f.Fd()))
		wantErr(t, "FromFD", err, unix.EINVAL)
	}},
	{"FromFD of -1 is EBADF", func(t *testing.T) {
		_, err := efd.FromFD(-1)
		wantErr(t, "FromFD", err, unix.EBADF)
	}},
	{"FromFD of a closed number is EBADF", func(t *testing.T) {
		_, err := efd.FromFD(1 << 20)
		wantErr(t, "FromFD", err, unix.EBADF)
	}},
	{"another holder clears O_NONBLOCK: a Read sleeps and harms nobody", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, unix.SetNonblock(e.FD(), false))
		var v uint64
		r := park(t, callRead, func() { v, _ = e.Read() })
		runtime.GC() // would wait for a thread that the scheduler does not know to sleep
		check(t, e.Write(2))
		r.wait(t)
		equal(t, "count", v, 2)
	}},
	{"a lost handle is closed by the collector", func(t *testing.T) {
		e, err := efd.New(1, 0)
		check(t, err)
		fd := e.FD()
		id := fdInode(fd)
		if id == "" {
			t.Skip("needs eventfd-id in fdinfo, Linux 5.2")
		}
		e = nil
		waitFor(t, func() bool { runtime.GC(); return fdInode(fd) != id }, "number %d stays open", fd)
	}},
	{"SyscallConn.Control sees the number", func(t *testing.T) {
		e := newEventFD(t, 0, 0)
		check(t, control(e, func(fd int) { equal(t, "number", fd, e.FD()) }))
	}},
}

func readsOf(t *testing.T, e *efd.EventFD, want ...uint64) {
	t.Helper()
	for i, w := range want {
		if v, err := e.Read(); v != w || err != nil {
			t.Errorf("read %d: %d, %v; want %d", i, v, err, w)
		}
	}
	if v, err := e.Read(); !errors.Is(err, unix.EAGAIN) && status(t, e.FD()) != 0 {
		t.Errorf("last read: %d, %v; want EAGAIN", v, err)
	}
}

func drains(t *testing.T, e *efd.EventFD, want ...uint64) {
	t.Helper()
	for i, w := range want {
		if v, err := e.Drain(); v != w || err != nil {
			t.Errorf("Drain %d: %d, %v; want %d", i, v, err, w)
		}
	}
}

func full(t *testing.T) *efd.EventFD {
	t.Helper()
	e := newEventFD(t, 0, 0)
	check(t, e.Write(efd.MaxCount))
	return e
}

func dup(t *testing.T, e *efd.EventFD) *efd.EventFD {
	t.Helper()
	swapped(t)
	d, err := e.Dup()
	check(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// swapped skips what reads a duplicate: qemu-user swaps the bytes of a counter
// for the number that eventfd2 returned, and for no other.
func swapped(t *testing.T) {
	t.Helper()
	if bigEndian {
		native(t, "read a duplicate of an eventfd")
	}
}

func fromFD(t *testing.T, fd int) *efd.EventFD {
	t.Helper()
	e, err := efd.FromFD(fd)
	check(t, err)
	t.Cleanup(func() { e.Close() })
	return e
}

// own2 is own for a call's two results.
func own2(t *testing.T) func(fd int, err error) *number {
	return func(fd int, err error) *number { t.Helper(); return own(t, fd, err) }
}

func fdFlags(t *testing.T, fd int) int {
	t.Helper()
	v, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	check(t, err)
	return v
}

// status is O_NONBLOCK where it is set.
func status(t *testing.T, fd int) int {
	t.Helper()
	v, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	check(t, err)
	return v & unix.O_NONBLOCK
}

func control(e *efd.EventFD, fn func(fd int)) error {
	raw, err := e.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { fn(int(fd)) })
}

func noAllocs(t *testing.T, fn func()) {
	t.Helper()
	fn()
	if n := testing.AllocsPerRun(200, fn); n != 0 && !raceDetector {
		t.Errorf("%v allocations, want none", n)
	}
}

// fdInode tells one eventfd from another by its id in fdinfo.
func fdInode(fd int) string {
	b, _ := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "eventfd-id:") {
			return line
		}
	}
	return ""
}

// sendOver sends e through a socket and takes over what arrives.
func sendOver(t *testing.T, e *efd.EventFD) *efd.EventFD {
	t.Helper()
	swapped(t)
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	var conns [2]*net.UnixConn
	for i, fd := range s {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		f.Close()
		check(t, err)
		conns[i] = c.(*net.UnixConn)
		defer c.Close()
	}
	f, err := e.File()
	check(t, err)
	defer f.Close()
	_, _, err = conns[0].WriteMsgUnix([]byte{1}, unix.UnixRights(int(f.Fd())), nil)
	check(t, err)
	oob := make([]byte, 64)
	_, n, _, _, err := conns[1].ReadMsgUnix(make([]byte, 1), oob)
	check(t, err)
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	check(t, err)
	fds, err := unix.ParseUnixRights(&msgs[0])
	check(t, err)
	return fromFD(t, fds[0])
}

// runChild runs this test binary for one of the deeds of TestConformanceChild.
func runChild(t *testing.T, deed string, extra ...*os.File) {
	t.Helper()
	native(t, "start a program")
	cmd := exec.Command(os.Args[0], "-test.run=^TestConformanceChild$")
	cmd.Env = append(os.Environ(), "EFD_CHILD="+deed)
	cmd.ExtraFiles = extra
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
}

func TestConformanceChild(t *testing.T) {
	switch os.Getenv("EFD_CHILD") {
	case "":
		t.Skip("runs as a child of TestConformance")
	case "write 41 to 3":
		e := fromFD(t, 3)
		check(t, e.WriteContext(context.Background(), 41))
	case "has no such eventfd":
		list, err := os.ReadDir("/proc/self/fd")
		check(t, err)
		for _, f := range list {
			if fd, _ := strconv.Atoi(f.Name()); fdInode(fd) == os.Getenv("EFD_EVENTFD_ID") {
				t.Errorf("descriptor %d is the parent's eventfd", fd)
			}
		}
	}
}
