//go:build linux

package kvm

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/kvm.h.
const (
	createVM            = 0xae01
	vcpuMmapSize        = 0xae04
	createVCPU          = 0xae41
	setUserMemoryRegion = 0x4020ae46
	createIRQChip       = 0xae60
	getIRQChip          = 0xc208ae62
	irqFD               = 0x4020ae76
	ioEventFD           = 0x4040ae79
	runVCPU             = 0xae80
	setRegs             = 0x4090ae82
	getSregs            = 0x8138ae83
	setSregs            = 0x4138ae84
)

// Available returns an error that names the missing requirement of a guest.
func Available() error {
	g, err := NewGuest()
	if err != nil {
		return err
	}
	return g.Close()
}

// newVM makes an empty virtual machine.
func newVM() (int, error) {
	dev, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "/dev/kvm", Err: err}
	}
	defer unix.Close(dev)
	return ioctl("KVM_CREATE_VM", dev, createVM, 0)
}

func ioctl(name string, fd int, request, arg uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, arg)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
			continue
		}
		return -1, fmt.Errorf("ioctl %s: %w", name, errno)
	}
}

// ioctlPtr passes a structure, or the first byte of a buffer.
func ioctlPtr[T any](name string, fd int, request uintptr, arg *T) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return fmt.Errorf("ioctl %s: %w", name, errno)
	}
}
