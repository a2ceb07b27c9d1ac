//go:build linux

package efd_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// Examples that need what not every machine has: they are tests, which can skip.

// An io_uring signals its completions on an eventfd, for which a goroutine waits
// in Go's poller. The counter says that there are some, not how many.
func TestExampleIOUring(t *testing.T) {
	params := struct {
		sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
		_                                                    [3]uint32
		sq, cq                                               struct {
			head, tail, mask, entries, flags, dropped, array, _ uint32
			_                                                   uint64
		}
	}{}
	ring, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		t.Skipf("io_uring_setup: %v", errno)
	}
	defer unix.Close(int(ring))
	const sqRing, sqes = 0, 0x10000000
	sq, err := unix.Mmap(int(ring), sqRing, int(params.sq.array+4*params.sqEntries), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(sq)
	entries, err := unix.Mmap(int(ring), sqes, 64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	defer unix.Munmap(entries)

	e := newEventFD(t, 0, 0)
	conn, err := e.SyscallConn()
	check(t, err)
	check(t, conn.Control(func(fd uintptr) { // the number is held for the call
		const ioringRegisterEventFD = 4
		arg := int32(fd)
		_, _, errno = unix.Syscall6(unix.SYS_IO_URING_REGISTER, ring, ioringRegisterEventFD, uintptr(unsafe.Pointer(&arg)), 1, 0, 0)
	}))
	if errno != 0 {
		t.Fatalf("IORING_REGISTER_EVENTFD: %v", errno)
	}
	// A zero entry is IORING_OP_NOP. Entry 0 is the only one, and the array has its index.
	*(*uint32)(unsafe.Pointer(&sq[params.sq.tail]))++
	if n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, ring, 1, 0, 0, 0, 0); n != 1 {
		t.Fatalf("io_uring_enter: %v", errno)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Limit())
	defer cancel()
	if n, err := e.ReadContext(ctx); n != 1 || err != nil {
		t.Errorf("the eventfd has %d, %v after one completion", n, err)
	}
}

// Linux AIO signals the end of each request that asks for it (IOCB_FLAG_RESFD).
func TestExampleAIO(t *testing.T) {
	e := newEventFD(t, 0, 0)
	aioSignal(t, e) // the request, in aio_test.go
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Limit())
	defer cancel()
	if n, err := e.ReadContext(ctx); n != 1 || err != nil {
		t.Errorf("the eventfd has %d, %v after one request", n, err)
	}
}

// Memory pressure is POLLPRI of /proc/pressure/memory, and of a cgroup's
// memory.pressure; changes of a cgroup are POLLPRI of its cgroup.events.
func TestExamplePressure(t *testing.T) {
	psi, err := os.OpenFile("/proc/pressure/memory", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip(err)
	}
	check(t, err)
	defer psi.Close()
	// 2 s is the window that every user may have, since Linux 6.6.
	if _, err := psi.Write([]byte("some 1900000 2000000\x00")); err != nil {
		t.Skip(err)
	}
	stop := newEventFD(t, 0, 0)
	set := newPollSet(t, efd.POLLIN, stop)
	check(t, set.AddFD(int(psi.Fd()), efd.POLLPRI))
	check(t, stop.Signal())
	n, err := set.Wait(time.Minute, nil)
	if n < 1 || err != nil {
		t.Fatalf("Wait = %d, %v", n, err)
	}
	for c, events := range set.Ready() {
		if c != stop && events != efd.POLLPRI {
			t.Errorf("%v of %v, want nothing or POLLPRI", events, c)
		}
	}
}
