//go:build linux && (amd64 || arm64)

package vhost

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/efd-go/efd/internal/sigblock"
	"golang.org/x/sys/unix"
)

// Requests of linux/vhost.h.
const (
	setOwner      = 0xaf01
	setMemTable   = 0x4008af03
	setVringNum   = 0x4008af10
	setVringAddr  = 0x4028af11
	setVringBase  = 0x4008af12
	setVringKick  = 0x4008af20
	setVringCall  = 0x4008af21
	setNetBackend = 0x4008af30
)

// The transmit queue, and where its parts lie in the shared memory.
const (
	txQueue    = 1
	queueSize  = 16
	availAt    = 0x1000
	usedAt     = 0x2000
	packetAt   = 0x3000
	memorySize = 0x4000
)

// packetSize is a virtio_net_hdr of 10 bytes and the smallest Ethernet frame.
const packetSize = 10 + 60

// Net is a vhost-net device with a transmit queue.
type Net struct {
	dev, tap int
	mem      []byte
	sent     uint16
	worker   string // its directory in /proc
}

// Available returns an error that names the missing requirement of a vhost-net
// device.
func Available() error {
	n, err := New(-1, -1)
	if err != nil {
		return err
	}
	return n.Close()
}

// New makes a device that waits for writes to the eventfd kick and signals the
// eventfd call when it has sent something. A -1 leaves one of them out. The
// worker sleeps when New returns.
func New(kick, call int) (*Net, error) {
	n := &Net{dev: -1, tap: -1}
	if err := n.setup(kick, call); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Net) setup(kick, call int) (err error) {
	if n.dev, err = unix.Open("/dev/vhost-net", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return &os.PathError{Op: "open", Path: "/dev/vhost-net", Err: err}
	}
	if n.tap, err = newTap(); err != nil {
		return err
	}
	if n.mem, err = unix.Mmap(-1, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS); err != nil {
		return fmt.Errorf("mmap of the queue: %w", err)
	}
	if err := n.own(); err != nil {
		return err
	}
	base := uint64(uintptr(unsafe.Pointer(&n.mem[0])))
	table := struct {
		Regions, _                        uint32
		Guest, Size, UserspaceAddr, Flags uint64
	}{Regions: 1, Size: memorySize, UserspaceAddr: base}
	if err := ioctl("VHOST_SET_MEM_TABLE", n.dev, setMemTable, &table); err != nil {
		return err
	}
	if err := n.setVring("VHOST_SET_VRING_NUM", setVringNum, queueSize); err != nil {
		return err
	}
	if err := n.setVring("VHOST_SET_VRING_BASE", setVringBase, 0); err != nil {
		return err
	}
	addr := struct {
		Index, Flags           uint32
		Desc, Used, Avail, Log uint64
	}{Index: txQueue, Desc: base, Used: base + usedAt, Avail: base + availAt}
	if err := ioctl("VHOST_SET_VRING_ADDR", n.dev, setVringAddr, &addr); err != nil {
		return err
	}
	if err := n.setVring("VHOST_SET_VRING_CALL", setVringCall, call); err != nil {
		return err
	}
	if err := n.setVring("VHOST_SET_VRING_KICK", setVringKick, kick); err != nil {
		return err
	}
	if err := n.setVring("VHOST_NET_SET_BACKEND", setNetBackend, n.tap); err != nil {
		return err
	}
	return n.Settle()
}

// own makes the device this process's, which starts its worker. Signals are
// blocked during it: copy_process makes no worker while one is pending, and
// Go's runtime sends some; vhost then returns ENOMEM.
func (n *Net) own() (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := sigblock.All()
	if err != nil {
		return err
	}
	defer restore()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n.dev), setOwner, 0); errno != 0 {
		return fmt.Errorf("ioctl VHOST_SET_OWNER: %w", errno)
	}
	n.worker, err = findWorker(unix.Gettid())
	return err
}

// setVring passes a struct vhost_vring_state or vhost_vring_file.
func (n *Net) setVring(name string, request uintptr, value int) error {
	arg := struct {
		Index uint32
		Value int32
	}{txQueue, int32(value)}
	return ioctl(name, n.dev, request, &arg)
}

func ioctl[T any](name string, fd int, request uintptr, arg *T) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
		return fmt.Errorf("ioctl %s: %w", name, errno)
	}
	return nil
}

// Queue puts one packet into the transmit queue. It is sent after a kick.
func (n *Net) Queue() {
	packet := n.mem[packetAt : packetAt+packetSize]
	frame := packet[10:]
	copy(frame, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5") // broadcast, of the type for experiments
	slot := n.sent % queueSize
	desc := n.mem[16*slot : 16*slot+16]
	binary.NativeEndian.PutUint64(desc, packetAt)
	binary.NativeEndian.PutUint32(desc[8:], packetSize)
	binary.NativeEndian.PutUint32(desc[12:], 0)
	avail := n.mem[availAt:usedAt]
	binary.NativeEndian.PutUint16(avail[4+2*slot:], slot)
	n.sent++
	// The worker looks at flags and idx, together 32 bits here: the store
	// publishes the packet. The flags are 0 and ask for the call.
	var head [4]byte
	binary.NativeEndian.PutUint16(head[2:], n.sent)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&avail[0])), binary.NativeEndian.Uint32(head[:]))
}

// Sent is how many packets the worker has sent since the start.
func (n *Net) Sent() int {
	var head [4]byte
	binary.NativeEndian.PutUint32(head[:], atomic.LoadUint32((*uint32)(unsafe.Pointer(&n.mem[usedAt]))))
	return int(binary.NativeEndian.Uint16(head[2:]))
}

// Close ends the worker and removes the tap device.
func (n *Net) Close() error {
	for _, fd := range []int{n.dev, n.tap} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	n.dev, n.tap = -1, -1
	if n.mem != nil {
		unix.Munmap(n.mem)
		n.mem = nil
	}
	return nil
}
