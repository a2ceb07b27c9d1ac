//go:build linux && (amd64 || arm64)

package vhost

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// newTap makes a tap device in a network namespace of its own and brings it
// up. Both go when the descriptor is closed.
func newTap() (int, error) {
	type made struct {
		fd  int
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends, and with it its stay in the namespace
		fd, err := tapHere()
		done <- made{fd, err}
	}()
	m := <-done
	return m.fd, m.err
}

func tapHere() (int, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return -1, fmt.Errorf("unshare(CLONE_NEWNET): %w", err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	if err := bringUp(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func bringUp(tun int) error {
	ifr, err := unix.NewIfreq("efd0")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, ifr); err != nil {
		return fmt.Errorf("ioctl TUNSETIFF: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(s)
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("ioctl SIOCSIFFLAGS: %w", err)
	}
	return nil
}
