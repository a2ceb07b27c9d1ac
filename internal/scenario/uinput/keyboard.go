//go:build linux && (amd64 || arm64)

package uinput

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/uinput.h, and the codes of linux/input-event-codes.h in use.
const (
	devCreate  = 0x5501
	devDestroy = 0x5502
	devSetup   = 0x405c5503
	setEvbit   = 0x40045564
	setKeybit  = 0x40045565
	getSysname = 0x8040552c // 64 bytes

	evSyn = 0
	evKey = 1
	keyA  = 30
)

// Keyboard is a keyboard with one key.
type Keyboard struct {
	ctl  int
	path string
	down bool
}

// Available returns an error that names the missing requirement of a keyboard.
func Available() error {
	k, err := New()
	if err != nil {
		return err
	}
	return k.Close()
}

// New makes a keyboard.
func New() (*Keyboard, error) {
	ctl, err := unix.Open("/dev/uinput", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/uinput", Err: err}
	}
	k := &Keyboard{ctl: ctl}
	if err := k.setup(); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

func (k *Keyboard) setup() error {
	if err := k.ioctl("UI_SET_EVBIT", setEvbit, evKey); err != nil {
		return err
	}
	if err := k.ioctl("UI_SET_KEYBIT", setKeybit, keyA); err != nil {
		return err
	}
	var setup [0x5c]byte // struct uinput_setup: bus, vendor, product, version, name
	binary.NativeEndian.PutUint16(setup[0:], 6 /* BUS_VIRTUAL */)
	copy(setup[8:], "efd keyboard")
	if err := k.ioctl("UI_DEV_SETUP", devSetup, uintptr(unsafe.Pointer(&setup[0]))); err != nil {
		return err
	}
	if err := k.ioctl("UI_DEV_CREATE", devCreate, 0); err != nil {
		return err
	}
	var name [64]byte
	if err := k.ioctl("UI_GET_SYSNAME", getSysname, uintptr(unsafe.Pointer(&name[0]))); err != nil {
		return err
	}
	return k.find(unix.ByteSliceToString(name[:]))
}

// find waits for the device node that evdev gives the keyboard.
func (k *Keyboard) find(sysname string) error {
	pattern := filepath.Join("/sys/devices/virtual/input", sysname, "event*")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if m, _ := filepath.Glob(pattern); len(m) == 1 {
			k.path = "/dev/input/" + filepath.Base(m[0])
			if _, err := os.Stat(k.path); err == nil {
				return nil
			}
		}
		if time.Now().After(end) {
			if k.path != "" {
				return fmt.Errorf("%s did not appear", k.path)
			}
			return errors.New("evdev gave the keyboard no device: is its module loaded?")
		}
	}
}

// Path is the device that a reader of the keyboard opens.
func (k *Keyboard) Path() string { return k.path }

// FD is the descriptor that presses are written to.
func (k *Keyboard) FD() int { return k.ctl }

// Press presses the key, or releases it if it is down: one event and the
// report that ends it.
func (k *Keyboard) Press() error {
	value := int32(1)
	if k.down {
		value = 0
	}
	b := appendEvent(nil, evKey, keyA, value)
	b = appendEvent(b, evSyn, 0, 0)
	if _, err := unix.Write(k.ctl, b); err != nil {
		return fmt.Errorf("write to /dev/uinput: %w", err)
	}
	k.down = !k.down
	return nil
}

// appendEvent appends a struct input_event; the kernel fills in the time.
func appendEvent(b []byte, typ, code uint16, value int32) []byte {
	b = append(b, make([]byte, 16)...)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, code)
	return binary.NativeEndian.AppendUint32(b, uint32(value))
}

func (k *Keyboard) ioctl(name string, request, arg uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(k.ctl), request, arg); errno != 0 {
		return fmt.Errorf("ioctl %s: %w", name, errno)
	}
	return nil
}

// Close removes the keyboard.
func (k *Keyboard) Close() error {
	err := k.ioctl("UI_DEV_DESTROY", devDestroy, 0)
	unix.Close(k.ctl)
	k.ctl = -1
	return err
}
