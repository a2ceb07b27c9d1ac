package scenario

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var ioUrings = []*Scenario{
	{
		Name: "io_uring", System: 5, Title: "a thread sleeps in ppoll on an eventfd that is registered with an io_uring, a request ends",
		Source: "io_uring", Waiter: "ppoll", Callbacks: []string{"pollwake"}, Paths: []string{"eventfd2", "eventfd_signal", "ppoll", "poll_wake"},
		run: runIOUring,
	},
}

// ringOffsets are struct io_sqring_offsets and struct io_cqring_offsets: they
// have the same size, and what is used of them lies at the same places.
type ringOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

// cqes is where the completion ring's entries begin: struct io_cqring_offsets
// has overflow and cqes where the other has dropped and array less one.
func (o *ringOffsets) cqes() uint32 { return o.dropped }

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq, cq                                               ringOffsets
}

// sqe is struct io_uring_sqe as far as a request that does nothing needs it.
type sqe struct {
	opcode, flags uint8
	_             [30]byte
	userData      uint64
	_             [24]byte
}

const (
	opNop           = 0
	registerEventfd = 4
	offSQRing       = 0
	offCQRing       = 0x8000000
	offSQEs         = 0x10000000
)

// ring is an io_uring with one entry.
type ring struct {
	fd     int
	params ringParams
	sq, cq []byte
	sqes   []byte
}

func runIOUring(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	r, err := t.ring()
	if err != nil {
		return err
	}
	err = t.do(func() error {
		fd := int32(e.FD())
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerEventfd, uintptr(unsafe.Pointer(&fd)), 1, 0, 0)
		_, err := result(0, errno)
		return err
	}, "io_uring_register(%d, IORING_REGISTER_EVENTFD, [%d], 1)", r.fd, e.FD())
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLIN, readExpect(e, 1)); err != nil {
		return err
	}
	return t.Act(func() error {
		r.nop()
		n, err := t.Sys(func() (int, error) {
			n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 0, 0, 0, 0)
			return result(n, errno)
		}, "io_uring_enter(%d, 1, 0, 0, NULL, 0)", r.fd)
		if err != nil {
			return callError(err, "io_uring_enter")
		}
		return expect(nil, n == 1 && r.completed() == 1, "io_uring_enter took %d requests, %d are complete, want 1 and 1", n, r.completed())
	})
}

// ring sets an io_uring up on the waker's thread.
func (t *T) ring() (*ring, error) {
	r := &ring{}
	var err error
	r.fd, err = t.Open("io_uring", func() (int, error) {
		n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&r.params)), 0)
		return result(n, errno)
	}, "io_uring_setup(1, {flags=0})")
	if err != nil {
		return nil, noRing(err)
	}
	p := &r.params
	for _, m := range []struct {
		mem  *[]byte
		off  int64
		size uint32
	}{
		{&r.sq, offSQRing, p.sq.array + p.sqEntries*4},
		{&r.cq, offCQRing, p.cq.cqes() + p.cqEntries*16},
		{&r.sqes, offSQEs, p.sqEntries * uint32(unsafe.Sizeof(sqe{}))},
	} {
		*m.mem, err = unix.Mmap(r.fd, m.off, int(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return nil, callError(err, "mmap")
		}
		t.Cleanup(func() { unix.Munmap(*m.mem) })
	}
	return r, nil
}

// noRing says why there is no io_uring here.
func noRing(err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return Skip("io_uring_setup: the kernel has no such call: it came with 5.1, and needs CONFIG_IO_URING")
	case errors.Is(err, unix.ENOMEM):
		return Skip("io_uring_setup: RLIMIT_MEMLOCK leaves no room for a ring")
	case !errors.Is(err, unix.EPERM):
		return err
	}
	if b, e := os.ReadFile("/proc/sys/kernel/io_uring_disabled"); e == nil && strings.TrimSpace(string(b)) != "0" {
		return Skip("io_uring_setup: kernel.io_uring_disabled is %s", strings.TrimSpace(string(b)))
	}
	return Skip("io_uring_setup: a seccomp filter or a security module refuses it (EPERM)")
}

func word(mem []byte, off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&mem[off])) }

// nop queues a request that does nothing.
func (r *ring) nop() {
	o := &r.params.sq
	tail := atomic.LoadUint32(word(r.sq, o.tail))
	i := tail & *word(r.sq, o.mask)
	*(*sqe)(unsafe.Pointer(&r.sqes[i*uint32(unsafe.Sizeof(sqe{}))])) = sqe{opcode: opNop}
	*word(r.sq, o.array+i*4) = i
	atomic.StoreUint32(word(r.sq, o.tail), tail+1)
}

// completed is how many requests have ended.
func (r *ring) completed() uint32 {
	o := &r.params.cq
	return atomic.LoadUint32(word(r.cq, o.tail)) - atomic.LoadUint32(word(r.cq, o.head))
}
