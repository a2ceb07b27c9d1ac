//go:build linux

package perf

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const sizeofAttr = unsafe.Sizeof(unix.PerfEventAttr{})

func ioctlString(fd int, req uint, s string) error {
	b, err := unix.BytePtrFromString(s)
	if err != nil {
		return err
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(unsafe.Pointer(b))); e != 0 {
		return e
	}
	return nil
}

// eventID is the number that the event's records carry.
func eventID(fd int) (uint64, error) {
	var id uint64
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_ID, uintptr(unsafe.Pointer(&id))); e != 0 {
		return 0, os.NewSyscallError("ioctl PERF_EVENT_IOC_ID", e)
	}
	return id, nil
}

// lostOf reads how many records of the event were lost so far.
func lostOf(fd int) (uint64, error) {
	var b [24]byte // value, id, lost
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return 0, os.NewSyscallError("read of a perf event", err)
	}
	if n < len(b) {
		return 0, nil
	}
	return binary.NativeEndian.Uint64(b[16:]), nil
}

// countOf reads how often the event happened so far.
func countOf(fd int) (uint64, error) {
	var b [24]byte // value, id, lost
	n, err := unix.Read(fd, b[:])
	if err == nil && n < 8 {
		err = unix.EIO
	}
	if err != nil {
		return 0, os.NewSyscallError("read of a perf event", err)
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}
