//go:build linux

package scenario

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var ioUrings = []*Scenario{
	{
		Name: "io_uring", System: 5, Title: "a thread sleeps in ppoll on an eventfd that is registered with an io_uring, a request ends",
		Source: "io_uring", Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "eventfd_signal", "ppoll", "poll_wake"},
		run: runIOUring,
	},
	{
		Name: "io_uring_poll", System: 5, Title: "a thread sleeps in ppoll on an eventfd of an io_uring with IORING_SETUP_DEFER_TASKRUN that polls a pipe: the wake of the pipe signals it",
		Source: "pipe", Waiter: "ppoll", Through: []string{"io_uring", "poller"}, Paths: []string{"eventfd2", "eventfd_signal", "io_uring", "ppoll", "poll_wake"},
		need: signalsInWake, run: runIOUringPoll,
	},
	{
		Name: "io_uring_poll_task", System: 5, Title: "a thread sleeps in ppoll on an eventfd of an io_uring that polls a pipe: the thread that writes to the pipe then ends the request",
		Source: "io_uring", Branches: []string{"task-work"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "eventfd_signal", "ppoll", "poll_wake"},
		run: runIOUringPollTask,
	},
}

// ringOffsets are struct io_sqring_offsets and struct io_cqring_offsets: they
// have the same size, and the used fields lie at the same offsets.
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

// sqe is struct io_uring_sqe as far as these requests need it.
type sqe struct {
	opcode, flags uint8
	_             uint16
	fd            int32
	_             [20]byte
	poll          uint32 // with its halves swapped on a big-endian machine
	userData      uint64
	_             [24]byte
}

const (
	opNop           = 0
	opPollAdd       = 6
	singleIssuer    = 1 << 12 // IORING_SETUP_SINGLE_ISSUER
	deferTaskrun    = 1 << 13 // IORING_SETUP_DEFER_TASKRUN
	fastPoll        = 1 << 5  // IORING_FEAT_FAST_POLL
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
	r, err := t.ring(0, "0")
	if err != nil {
		return err
	}
	if err := t.register(r, e); err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLIN, readExpect(e, 1)); err != nil {
		return err
	}
	return t.Act(func() error {
		r.queue(sqe{opcode: opNop})
		if err := t.enter(r); err != nil {
			return err
		}
		return expect(nil, r.completed() == 1, "%d requests are complete, want 1", r.completed())
	})
}

// runIOUringPollTask has the work of the request done by the thread that made it,
// which is the one that writes: on its way out of write.
func runIOUringPollTask(t *T) error {
	r, out, err := t.polling(0, "0")
	if err != nil {
		return err
	}
	return t.Act(func() error {
		if err := t.writeBytes(out, "x"); err != nil {
			return err
		}
		return expect(nil, r.completed() == 1, "%d requests are complete, want 1", r.completed())
	})
}

// runIOUringPoll has the eventfd signalled where the work is queued:
// the work is not requested, and there is no completion.
func runIOUringPoll(t *T) error {
	r, out, err := t.polling(singleIssuer|deferTaskrun, "IORING_SETUP_SINGLE_ISSUER|IORING_SETUP_DEFER_TASKRUN")
	if err != nil {
		return err
	}
	return t.Act(func() error {
		if err := t.writeBytes(out, "x"); err != nil {
			return err
		}
		return expect(nil, r.completed() == 0, "%d requests are complete, want 0", r.completed())
	})
}

// polling has a ring poll a pipe and a waiter sleep on the ring's eventfd. It
// returns the pipe's write end.
func (t *T) polling(flags uint32, text string) (*ring, int, error) {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return nil, -1, err
	}
	r, err := t.ring(flags, text)
	if err != nil {
		return nil, -1, err
	}
	if r.params.features&fastPoll == 0 {
		return nil, -1, Skip("io_uring_setup: the kernel has no IORING_FEAT_FAST_POLL: before 5.7 a poll request ends in the wake itself")
	}
	if err := t.register(r, e); err != nil {
		return nil, -1, err
	}
	in, out, err := t.pipe()
	if err != nil {
		return nil, -1, err
	}
	err = t.Do(func() error {
		r.queue(pollRequest(in))
		return t.enter(r)
	})
	if err != nil {
		return nil, -1, err
	}
	return r, out, t.WaitPpoll(e.FD(), efd.POLLIN, readExpect(e, 1))
}

// pollRequest is a request that ends when fd is readable.
func pollRequest(fd int) sqe {
	events := uint32(unix.POLLIN)
	if *(*byte)(unsafe.Pointer(&events)) == 0 {
		events <<= 16
	}
	return sqe{opcode: opPollAdd, fd: int32(fd), poll: events}
}

// signalsInWake asks the kernel itself, since stable kernels differ. A signal
// that is put off may be quick, but not each time.
func signalsInWake() error {
	for range 3 {
		if err := signalInWake(); err != nil {
			return err
		}
	}
	return nil
}

// signalInWake ends a poll request, and checks for the signal immediately.
func signalInWake() error {
	runtime.LockOSThread() // the only thread that may use the ring
	defer runtime.UnlockOSThread()
	r := &ring{params: ringParams{flags: singleIssuer | deferTaskrun}}
	if _, err := r.setup(); errors.Is(err, unix.EINVAL) {
		return Skip("io_uring_setup: the kernel has no IORING_SETUP_DEFER_TASKRUN: it came with 6.1")
	} else if err != nil {
		return noRing(err)
	}
	defer unix.Close(r.fd)
	if err := r.mmap(); err != nil {
		return err
	}
	defer r.munmap()
	e, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return callError(err, "eventfd2")
	}
	defer unix.Close(e)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return callError(err, "pipe2")
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if err := r.register(e); err != nil {
		return callError(err, "io_uring_register")
	}
	r.queue(pollRequest(p[0]))
	if _, err := r.enter(); err != nil {
		return callError(err, "io_uring_enter")
	}
	b := make([]byte, 8)
	if _, err := unix.Write(p[1], b[:1]); err != nil {
		return callError(err, "write")
	}
	if _, err = unix.Read(e, b); errors.Is(err, unix.EAGAIN) {
		return Skip("this kernel signals no eventfd in the wake of a polled file, but after it, through RCU: so since 7.2 and in 6.12.117")
	}
	return callError(err, "read")
}

// register has the ring signal e for each request that ends.
func (t *T) register(r *ring, e *efd.EventFD) error {
	return t.do(func() error { return r.register(e.FD()) }, "io_uring_register(%d, IORING_REGISTER_EVENTFD, [%d], 1)", r.fd, e.FD())
}

// enter has the kernel take the one request that is queued, on the current
// thread.
func (t *T) enter(r *ring) error {
	n, err := t.Sys(r.enter, "io_uring_enter(%d, 1, 0, 0, NULL, 0)", r.fd)
	if err != nil {
		return callError(err, "io_uring_enter")
	}
	return expect(nil, n == 1, "io_uring_enter took %d requests, want 1", n)
}

// ring sets an io_uring up on the waker's thread.
func (t *T) ring(flags uint32, text string) (*ring, error) {
	r := &ring{params: ringParams{flags: flags}}
	if _, err := t.Open("io_uring", r.setup, "io_uring_setup(1, {flags=%s})", text); err != nil {
		return nil, noRing(err)
	}
	t.Cleanup(r.munmap)
	return r, r.mmap()
}

func (r *ring) setup() (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&r.params)), 0)
	fd, err := result(n, errno)
	r.fd = fd
	return fd, err
}

func (r *ring) register(eventfd int) error {
	fd := int32(eventfd)
	n, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerEventfd, uintptr(unsafe.Pointer(&fd)), 1, 0, 0)
	_, err := result(n, errno)
	return err
}

func (r *ring) enter() (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 0, 0, 0, 0)
	return result(n, errno)
}

func (r *ring) mmap() error {
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
		var err error
		*m.mem, err = unix.Mmap(r.fd, m.off, int(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return callError(err, "mmap")
		}
	}
	return nil
}

func (r *ring) munmap() {
	for _, mem := range [][]byte{r.sq, r.cq, r.sqes} {
		unix.Munmap(mem)
	}
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

// queue queues a request.
func (r *ring) queue(request sqe) {
	o := &r.params.sq
	tail := atomic.LoadUint32(word(r.sq, o.tail))
	i := tail & *word(r.sq, o.mask)
	*(*sqe)(unsafe.Pointer(&r.sqes[i*uint32(unsafe.Sizeof(sqe{}))])) = request
	*word(r.sq, o.array+i*4) = i
	atomic.StoreUint32(word(r.sq, o.tail), tail+1)
}

// completed is how many requests have ended.
func (r *ring) completed() uint32 {
	o := &r.params.cq
	return atomic.LoadUint32(word(r.cq, o.tail)) - atomic.LoadUint32(word(r.cq, o.head))
}
