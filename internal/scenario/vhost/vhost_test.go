//go:build linux && (amd64 || arm64)

package vhost

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

func eventfd(t *testing.T) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestKickAndCall(t *testing.T) {
	testenv.Require(t, "vhost", Available())
	kick, call := eventfd(t), eventfd(t)
	n, err := New(kick, call)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for i := 1; i <= 2*queueSize; i++ {
		// A worker that sleeps does not look at the queue before a kick.
		if err := n.Settle(); err != nil {
			t.Fatal(err)
		}
		n.Queue()
		if err := n.Settle(); err != nil {
			t.Fatal(err)
		}
		if got := n.Sent(); got != i-1 {
			t.Fatalf("%d packets sent before kick %d", got, i)
		}
		if _, err := unix.Write(kick, binary.NativeEndian.AppendUint64(nil, 1)); err != nil {
			t.Fatal(err)
		}
		fds := []unix.PollFd{{Fd: int32(call), Events: unix.POLLIN}}
		var ready int
		for {
			if ready, err = unix.Poll(fds, 10_000); err != unix.EINTR {
				break
			}
		}
		if err != nil || ready != 1 {
			t.Fatalf("poll on the call eventfd after kick %d = %d, %v", i, ready, err)
		}
		var b [8]byte
		if _, err := unix.Read(call, b[:]); err != nil {
			t.Fatal(err)
		}
		if got := n.Sent(); got != i {
			t.Fatalf("%d packets sent after kick %d", got, i)
		}
	}
	if _, err := net.InterfaceByName("efd0"); err == nil {
		t.Error("the tap device is visible outside its namespace")
	}
}
