//go:build linux

package kvm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Chip is a virtual machine without a CPU: an interrupt controller, whose
// lines eventfds raise.
type Chip struct{ vm int }

// NewChip makes a virtual machine with its interrupt controllers in the kernel.
func NewChip() (*Chip, error) {
	vm, err := newVM()
	if err != nil {
		return nil, err
	}
	if _, err := ioctl("KVM_CREATE_IRQCHIP", vm, createIRQChip, 0); err != nil {
		unix.Close(vm)
		return nil, err
	}
	return &Chip{vm}, nil
}

// Raise makes a write to an eventfd raise a line of the first interrupt
// controller: KVM_IRQFD. The line is 0 to 7.
func (c *Chip) Raise(eventfd, line int) error {
	if line < 0 || line > 7 {
		return fmt.Errorf("line %d: the first controller has 0 to 7", line)
	}
	arg := struct {
		FD, GSI, Flags, ResampleFD uint32
		_                          [16]byte
	}{FD: uint32(eventfd), GSI: uint32(line)}
	return ioctlPtr("KVM_IRQFD", c.vm, irqFD, &arg)
}

// Raised reports whether the line's interrupt waits for a CPU: its bit in the
// controller's request register.
func (c *Chip) Raised(line int) (bool, error) {
	var arg struct { // struct kvm_irqchip with the first controller's struct kvm_pic_state
		ID, _        uint32
		LastIRR, IRR uint8
		_            [510]byte
	}
	if err := ioctlPtr("KVM_GET_IRQCHIP", c.vm, getIRQChip, &arg); err != nil {
		return false, err
	}
	return arg.IRR>>line&1 == 1, nil
}

// Close ends the virtual machine.
func (c *Chip) Close() error {
	err := unix.Close(c.vm)
	c.vm = -1
	return err
}
