//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Requests of ioctl, of linux/kvm.h and linux/vhost.h.
const (
	kvmGetAPIVersion = 0xae00
	kvmCreateVM      = 0xae01
	kvmCreateVCPU    = 0xae41
	vhostSetOwner    = 0xaf01
)

// kvm: a virtual machine with a processor can be made.
func (*machine) kvm() error {
	return device("/dev/kvm", func(fd int) error {
		if v, err := unix.IoctlRetInt(fd, kvmGetAPIVersion); err != nil || v != 12 {
			return fmt.Errorf("KVM_GET_API_VERSION: %d, %v", v, err)
		}
		vm, err := unix.IoctlRetInt(fd, kvmCreateVM)
		if err != nil {
			return fmt.Errorf("KVM_CREATE_VM: %w", err)
		}
		defer unix.Close(vm)
		cpu, err := unix.IoctlRetInt(vm, kvmCreateVCPU)
		if err != nil {
			return fmt.Errorf("KVM_CREATE_VCPU: %w", err)
		}
		return unix.Close(cpu)
	})
}

func (*machine) vhost() error {
	return device("/dev/vhost-net", func(fd int) error {
		_, err := unix.IoctlRetInt(fd, vhostSetOwner)
		return err
	})
}

func (*machine) uinput() error { return device("/dev/uinput", func(int) error { return nil }) }

func device(name string, try func(fd int) error) error {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer unix.Close(fd)
	return try(fd)
}

// sleeps waits until a thread sleeps in a system call.
func sleeps(tid, call int) error {
	file, want := fmt.Sprintf("/proc/self/task/%d/syscall", tid), fmt.Sprintf("%d ", call)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(b), want) {
			return nil
		}
	}
	return fmt.Errorf("waited 10 s for thread %d to sleep in system call %d", tid, call)
}
