//go:build linux

package scenario

import (
	"errors"
	"runtime"
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

var aios = []*Scenario{
	{
		Name: "aio", System: 4, Title: "a thread sleeps in ppoll on an eventfd, an asynchronous read with IOCB_FLAG_RESFD ends",
		Source: "aio", Branches: []string{"woke"}, Waiter: "ppoll", Through: []string{"poller"}, Paths: []string{"eventfd2", "eventfd_signal", "ppoll", "poll_wake"},
		run: runAIO,
	},
}

// iocb is struct iocb of <linux/aio_abi.h>.
type iocb struct {
	data   uint64
	key    [2]uint32 // aio_key and aio_rw_flags, in the order of the machine's bytes
	opcode uint16
	prio   int16
	fd     uint32
	buf    uint64
	nbytes uint64
	offset int64
	_      uint64
	flags  uint32
	resfd  uint32
}

// ioEvent is struct io_event.
type ioEvent struct {
	data, obj uint64
	res, res2 int64
}

const (
	iocbCmdPread  = 0
	iocbFlagResfd = 1
)

func runAIO(t *T) error {
	e, err := t.EventFD(0, 0)
	if err != nil {
		return err
	}
	var aio uintptr // aio_context_t
	err = t.do(func() error {
		_, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&aio)), 0)
		_, err := result(0, errno)
		return err
	}, "io_setup(1, [aio_context])")
	switch {
	case errors.Is(err, unix.ENOSYS):
		return Skip("io_setup: the kernel is built without CONFIG_AIO")
	case errors.Is(err, unix.EAGAIN):
		return Skip("io_setup: fs.aio-nr has reached fs.aio-max-nr")
	case err != nil:
		return err
	}
	t.Cleanup(func() { unix.Syscall(unix.SYS_IO_DESTROY, aio, 0, 0) })
	file, err := t.Open("file", func() (int, error) { return unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0) },
		`openat(AT_FDCWD, "/proc/self/exe", O_RDONLY|O_CLOEXEC)`)
	if err != nil {
		return err
	}
	if err := t.WaitPpoll(e.FD(), efd.POLLIN, readExpect(e, 1)); err != nil {
		return err
	}
	if err := t.Act(func() error { return t.submit(aio, file, e.FD()) }); err != nil {
		return err
	}
	var ev ioEvent
	n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, aio, 1, 1, uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return callError(errno, "io_getevents")
	}
	return expect(nil, n == 1 && ev.res == 4, "io_getevents gave %d events, result %d, want 1 and 4", n, ev.res)
}

// submit has the kernel read 4 bytes of file, and add 1 to resfd when it has.
func (t *T) submit(aio uintptr, file, resfd int) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	buf := new([4]byte)
	pin.Pin(buf)
	cb := &iocb{opcode: iocbCmdPread, fd: uint32(file), buf: uint64(uintptr(unsafe.Pointer(buf))), nbytes: 4, flags: iocbFlagResfd, resfd: uint32(resfd)}
	pin.Pin(cb)
	list := [1]uintptr{uintptr(unsafe.Pointer(cb))}
	n, err := t.Sys(func() (int, error) {
		n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, aio, 1, uintptr(unsafe.Pointer(&list)))
		return result(n, errno)
	}, "io_submit(aio_context, 1, [{aio_lio_opcode=IOCB_CMD_PREAD, aio_fildes=%d, aio_nbytes=4, aio_offset=0, aio_flags=IOCB_FLAG_RESFD, aio_resfd=%d}])", file, resfd)
	if err != nil {
		return callError(err, "io_submit")
	}
	return expect(nil, n == 1, "io_submit took %d requests, want 1", n)
}
