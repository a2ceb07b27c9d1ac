//go:build linux

package kvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Guest is a virtual machine whose only program writes 1 to each of its ports,
// in their order, and halts.
type Guest struct {
	vm, vcpu  int
	mem, run  []byte
	resetSegs []byte // struct kvm_sregs at the start
}

const (
	codeAt = 0x1000 // guest-physical address of the program
	pageSz = 0x1000
)

// NewGuest makes a guest that writes to the given ports.
func NewGuest(ports ...uint16) (*Guest, error) {
	g := &Guest{vm: -1, vcpu: -1}
	if err := g.setup(ports); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

func (g *Guest) setup(ports []uint16) (err error) {
	if g.vm, err = newVM(); err != nil {
		return err
	}
	if g.mem, err = unix.Mmap(-1, 0, pageSz, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS); err != nil {
		return fmt.Errorf("mmap of the guest's memory: %w", err)
	}
	code := program(ports)
	if len(code) > len(g.mem) {
		return fmt.Errorf("%d ports: more than a page of instructions", len(ports))
	}
	copy(g.mem, code)
	region := struct {
		Slot, Flags   uint32
		Guest, Size   uint64
		UserspaceAddr uint64
	}{Guest: codeAt, Size: pageSz, UserspaceAddr: uint64(uintptr(unsafe.Pointer(&g.mem[0])))}
	if err := ioctlPtr("KVM_SET_USER_MEMORY_REGION", g.vm, setUserMemoryRegion, &region); err != nil {
		return err
	}
	return g.addVCPU()
}

// program is the guest's: mov dx, port; mov al, 1; out dx, al for each port; hlt.
func program(ports []uint16) []byte {
	var code []byte
	for _, p := range ports {
		code = append(code, 0xba, byte(p), byte(p>>8), 0xb0, 1, 0xee)
	}
	return append(code, 0xf4)
}

func (g *Guest) addVCPU() error {
	dev, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/kvm: %w", err)
	}
	defer unix.Close(dev)
	size, err := ioctl("KVM_GET_VCPU_MMAP_SIZE", dev, vcpuMmapSize, 0)
	if err != nil {
		return err
	}
	if g.vcpu, err = ioctl("KVM_CREATE_VCPU", g.vm, createVCPU, 0); err != nil {
		return err
	}
	if g.run, err = unix.Mmap(g.vcpu, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("mmap of the vCPU: %w", err)
	}
	g.resetSegs = make([]byte, 0x138) // struct kvm_sregs
	if err := ioctlPtr("KVM_GET_SREGS", g.vcpu, getSregs, &g.resetSegs[0]); err != nil {
		return err
	}
	// The code segment comes first: its base, a limit, and the selector.
	binary.NativeEndian.PutUint64(g.resetSegs[0:], 0)
	binary.NativeEndian.PutUint16(g.resetSegs[12:], 0)
	return nil
}

// Signal makes the guest's write to a port signal an eventfd: KVM_IOEVENTFD.
func (g *Guest) Signal(port uint16, eventfd int) error {
	arg := struct {
		Datamatch, Addr uint64
		Len             uint32
		FD              int32
		Flags           uint32
		_               [36]byte
	}{Addr: uint64(port), Len: 1, FD: int32(eventfd), Flags: 1 << 1 /* KVM_IOEVENTFD_FLAG_PIO */}
	return ioctlPtr("KVM_IOEVENTFD", g.vm, ioEventFD, &arg)
}

// Run runs the program from its start to its halt. A write to a port that has
// no eventfd is an error.
func (g *Guest) Run() error {
	if err := ioctlPtr("KVM_SET_SREGS", g.vcpu, setSregs, &g.resetSegs[0]); err != nil {
		return err
	}
	var regs [18]uint64 // struct kvm_regs: rip and rflags are the last two
	regs[16], regs[17] = codeAt, 2
	if err := ioctlPtr("KVM_SET_REGS", g.vcpu, setRegs, &regs); err != nil {
		return err
	}
	if _, err := ioctl("KVM_RUN", g.vcpu, runVCPU, 0); err != nil {
		return err
	}
	const exitIO, exitHLT = 2, 5
	switch reason := binary.NativeEndian.Uint32(g.run[8:]); reason {
	case exitHLT:
		return nil
	case exitIO:
		return errors.New("KVM_RUN came back for a port that has no eventfd")
	default:
		return fmt.Errorf("KVM_RUN came back with exit reason %d", reason)
	}
}

// VCPU is the descriptor of the guest's CPU.
func (g *Guest) VCPU() int { return g.vcpu }

// Close ends the guest.
func (g *Guest) Close() error {
	if g.run != nil {
		unix.Munmap(g.run)
	}
	for _, fd := range []int{g.vcpu, g.vm} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if g.mem != nil {
		unix.Munmap(g.mem)
	}
	g.vm, g.vcpu, g.mem, g.run = -1, -1, nil, nil
	return nil
}
