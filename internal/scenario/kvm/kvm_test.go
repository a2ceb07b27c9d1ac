//go:build linux

package kvm

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// eventfd makes a plain eventfd: these tests prove the devices, not the library.
func eventfd(t *testing.T) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// count reads an eventfd's counter; 0 where it is empty.
func count(t *testing.T, fd int) uint64 {
	t.Helper()
	var b [8]byte
	switch _, err := unix.Read(fd, b[:]); err {
	case nil:
		return binary.NativeEndian.Uint64(b[:])
	case unix.EAGAIN:
		return 0
	default:
		t.Fatal(err)
		return 0
	}
}

func TestIOEventFD(t *testing.T) {
	testenv.Require(t, "kvm", Available())
	a, b := eventfd(t), eventfd(t)
	g, err := NewGuest(0x10, 0x2f8, 0x10)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Signal(0x10, a); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(); err == nil {
		t.Error("a write to a port without an eventfd was no error")
	}
	if n := count(t, a); n != 1 {
		t.Errorf("the counter is %d after one write of the guest", n)
	}
	if err := g.Signal(0x2f8, b); err != nil {
		t.Fatal(err)
	}
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	if n, m := count(t, a), count(t, b); n != 2 || m != 1 {
		t.Errorf("the counters are %d and %d, want 2 and 1", n, m)
	}
}

func TestIRQFD(t *testing.T) {
	testenv.Require(t, "kvm", Available())
	c, err := NewChip()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fd := eventfd(t)
	const line = 5
	if err := c.Raise(fd, line); err != nil {
		t.Fatal(err)
	}
	if up, err := c.Raised(line); err != nil || up {
		t.Fatalf("the line before the write: %v, %v", up, err)
	}
	if _, err := unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1)); err != nil {
		t.Fatal(err)
	}
	// A kernel worker may raise it, so it is not up at once.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		up, err := c.Raised(line)
		if err != nil {
			t.Fatal(err)
		}
		if up {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the line did not go up")
		}
	}
	if up, _ := c.Raised(line - 1); up {
		t.Error("another line went up too")
	}
	if err := c.Raise(fd, 8); err == nil {
		t.Error("line 8 of a controller with eight lines was no error")
	}
}
