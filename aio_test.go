//go:build linux

package efd_test

import (
	"os"
	"testing"
	"unsafe"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// iocb is struct iocb of <linux/aio_abi.h>.
type iocb struct {
	_         uint64 // data
	_, _      uint32 // key and flags
	opcode    uint16
	_         int16 // priority
	fd        uint32
	buf, size uint64
	_         int64 // offset
	_         uint64
	flags     uint32
	resfd     uint32
}

// aioSignal has the kernel signal e once, by the end of an asynchronous read.
func aioSignal(t *testing.T, e *efd.EventFD) {
	t.Helper()
	const pread, flagResfd = 0, 1
	var ctx uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&ctx)), 0); errno != 0 {
		t.Skipf("needs AIO: io_setup: %v", errno)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, ctx, 0, 0)
	f, err := os.Open(os.Args[0])
	check(t, err)
	defer f.Close()
	buf := make([]byte, 16)
	cb := &iocb{opcode: pread, fd: uint32(f.Fd()), buf: uint64(uintptr(unsafe.Pointer(&buf[0]))), size: 16, flags: flagResfd, resfd: uint32(e.FD())}
	if _, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, ctx, 1, uintptr(unsafe.Pointer(&cb))); errno != 0 {
		t.Skipf("needs AIO: io_submit: %v", errno)
	}
	var events [4]uint64
	if n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, ctx, 1, 1, uintptr(unsafe.Pointer(&events)), 0, 0); n != 1 {
		t.Fatalf("io_getevents: %v", errno)
	}
}
