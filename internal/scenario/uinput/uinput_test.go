//go:build linux && (amd64 || arm64)

package uinput

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

func TestPress(t *testing.T) {
	testenv.Require(t, "uinput", Available())
	k, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	dev, err := unix.Open(k.Path(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dev)
	for _, want := range []uint32{1, 0, 1} {
		fds := []unix.PollFd{{Fd: int32(dev), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); n != 0 || err != nil {
			t.Fatalf("poll before the press = %d, %v", n, err)
		}
		if err := k.Press(); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Poll(fds, 0); n != 1 || err != nil {
			t.Fatalf("poll after the press = %d, %v", n, err)
		}
		var b [4 * 24]byte
		n, err := unix.Read(dev, b[:])
		if err != nil || n != 2*24 {
			t.Fatalf("read = %d, %v; want two events", n, err)
		}
		if typ, code, v := binary.NativeEndian.Uint16(b[16:]), binary.NativeEndian.Uint16(b[18:]), binary.NativeEndian.Uint32(b[20:]); typ != evKey || code != keyA || v != want {
			t.Errorf("event of type %d, code %d, value %d; want %d, %d, %d", typ, code, v, evKey, keyA, want)
		}
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(k.Path()); err == nil {
		t.Errorf("%s is still there", k.Path())
	}
}
