//go:build linux

package deafen

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notif is struct seccomp_notif.
type notif struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// resp is struct seccomp_notif_resp.
type resp struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// addfd is struct seccomp_notif_addfd.
type addfd struct {
	id         uint64
	flags      uint32
	src        uint32
	new        uint32
	newFDFlags uint32
}

// ioctlAddFD is SECCOMP_IOCTL_NOTIF_ADDFD of x86-64 and arm64.
const ioctlAddFD = 0x40182103

func ioctl(fd int, req uint, arg unsafe.Pointer) (int, unix.Errno) {
	r, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg))
	return int(r), e
}

// answer answers the calls of the command and its children, until the last of
// these has ended.
func answer(listener int) {
	defer unix.Close(listener)
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			if fds[0].Revents != 0 {
				return // no process is left
			}
			continue
		}
		var n notif
		if _, e := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); e != 0 {
			continue // the caller has ended since
		}
		r := resp{id: n.id}
		if val, err := open(listener, &n); err != 0 {
			r.err = -int32(err)
		} else if val >= 0 {
			r.val = int64(val)
		} else {
			r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
		ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	}
}

// open is perf_event_open(2) of a command. fd is -1 if the kernel is to do it.
func open(listener int, n *notif) (fd int, errno unix.Errno) {
	const asked = 112 // of the attributes, as much as this program sets
	var attr unix.PerfEventAttr
	b := unsafe.Slice((*byte)(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))[:asked]
	if err := peek(int(n.pid), n.args[0], b); err != nil || binary.NativeEndian.Uint32(b) != unix.PERF_TYPE_BREAKPOINT {
		return -1, 0
	}
	if attr.Ext1>>63 == 1 && !admin(int(n.pid)) {
		return -1, 0 // of the kernel's memory: it refuses that itself
	}
	var dummy unix.PerfEventAttr
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&dummy)), unsafe.Sizeof(dummy)), b[:min(int(attr.Size), asked)])
	dummy.Type, dummy.Config, dummy.Bp_type, dummy.Ext1, dummy.Ext2 = unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_DUMMY, 0, 0, 0
	flags := int(n.args[4])
	src, err := unix.PerfEventOpen(&dummy, int(int32(n.args[1])), int(int32(n.args[2])), -1, flags|unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		e, _ := err.(unix.Errno)
		return -1, e
	}
	defer unix.Close(src)
	add := addfd{id: n.id, src: uint32(src)}
	if flags&unix.PERF_FLAG_FD_CLOEXEC != 0 {
		add.newFDFlags = unix.O_CLOEXEC
	}
	return ioctl(listener, ioctlAddFD, unsafe.Pointer(&add))
}

// peek reads memory of a process.
func peek(pid int, addr uint64, b []byte) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.ReadAt(b, int64(addr))
	return err
}

// admin reports whether a process has CAP_SYS_ADMIN.
func admin(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, _ := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return caps>>unix.CAP_SYS_ADMIN&1 == 1
		}
	}
	return false
}
