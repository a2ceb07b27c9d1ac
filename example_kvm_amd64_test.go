//go:build linux

package efd_test

import (
	"context"
	"runtime"
	"testing"
	"unsafe"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// A virtual machine has eventfds in both directions. KVM_IOEVENTFD: the guest's
// write to a port signals one, and the guest goes on. KVM_IRQFD: a write to one
// raises an interrupt line of the guest, without an ioctl for each.
func TestExampleKVM(t *testing.T) {
	dev, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	testenv.Require(t, "kvm", err)
	defer unix.Close(dev)
	vm := kvm(t, dev, 0xae01, 0) // KVM_CREATE_VM
	defer unix.Close(vm)

	// The guest is: mov dx, 0x10; mov al, 1; out dx, al; hlt.
	const codeAt, port = 0x1000, 0x10
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	check(t, err)
	defer unix.Munmap(mem)
	copy(mem, []byte{0xba, port, 0, 0xb0, 1, 0xee, 0xf4})
	region := struct {
		slot, flags          uint32
		guest, size, address uint64
	}{guest: codeAt, size: 4096, address: uint64(uintptr(unsafe.Pointer(&mem[0])))}
	kvmPtr(t, vm, 0x4020ae46, &region) // KVM_SET_USER_MEMORY_REGION
	vcpu := kvm(t, vm, 0xae41, 0)      // KVM_CREATE_VCPU
	defer unix.Close(vcpu)
	run, err := unix.Mmap(vcpu, 0, kvm(t, dev, 0xae04, 0), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED) // KVM_GET_VCPU_MMAP_SIZE
	check(t, err)
	defer unix.Munmap(run)

	doorbell := newEventFD(t, 0, 0)
	kvmPtr(t, vm, 0x4040ae79, &struct { // KVM_IOEVENTFD
		datamatch, addr uint64
		len             uint32
		fd              int32
		flags           uint32
		_               [36]byte
	}{addr: port, len: 1, fd: int32(doorbell.FD()), flags: 1 << 1}) // KVM_IOEVENTFD_FLAG_PIO
	runtime.KeepAlive(doorbell) // FD does not keep the handle from the collector

	var segments [0x138]byte               // struct kvm_sregs; cs, the first, begins with its base
	kvmPtr(t, vcpu, 0x8138ae83, &segments) // KVM_GET_SREGS
	clear(segments[0:8])
	clear(segments[12:14])
	kvmPtr(t, vcpu, 0x4138ae84, &segments) // KVM_SET_SREGS
	var regs [18]uint64
	regs[16], regs[17] = codeAt, 2     // rip, rflags
	kvmPtr(t, vcpu, 0x4090ae82, &regs) // KVM_SET_REGS
	kvm(t, vcpu, 0xae80, 0)            // KVM_RUN
	const exitHLT = 5
	if reason := *(*uint32)(unsafe.Pointer(&run[8])); reason != exitHLT {
		t.Fatalf("the guest ended for reason %d, want its hlt: its write to the port is no exit", reason)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Limit())
	defer cancel()
	if n, err := doorbell.ReadContext(ctx); n != 1 || err != nil {
		t.Errorf("the doorbell has %d, %v after the guest's write", n, err)
	}

	// Another machine, for its interrupt controller alone.
	chips := kvm(t, dev, 0xae01, 0)
	defer unix.Close(chips)
	kvm(t, chips, 0xae60, 0) // KVM_CREATE_IRQCHIP
	line := newEventFD(t, 0, 0)
	kvmPtr(t, chips, 0x4020ae76, &struct { // KVM_IRQFD
		fd, gsi, flags, resample uint32
		_                        [16]byte
	}{fd: uint32(line.FD()), gsi: 5})
	runtime.KeepAlive(line)
	check(t, line.Signal())
	var pic struct { // struct kvm_irqchip: the first controller's requests
		_, _      uint32
		last, irr uint8
		_         [510]byte
	}
	testenv.Until(t, "interrupt 5", func() bool {
		kvmPtr(t, chips, 0xc208ae62, &pic) // KVM_GET_IRQCHIP
		return pic.irr&(1<<5) != 0
	})
}

func kvm(t *testing.T, fd int, request, arg uintptr) int {
	t.Helper()
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, arg)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			t.Fatalf("ioctl %#x: %v", request, errno)
		}
		return int(r)
	}
}

// kvmPtr converts arg in the argument list of the call: it stays at its place.
func kvmPtr[T any](t *testing.T, fd int, request uintptr, arg *T) {
	t.Helper()
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			t.Fatalf("ioctl %#x: %v", request, errno)
		}
		return
	}
}
