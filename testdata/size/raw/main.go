//go:build linux

// A counter made, written, read and closed with golang.org/x/sys/unix alone.
package main

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		os.Exit(1)
	}
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], 1)
	if _, err := unix.Write(fd, b[:]); err != nil {
		os.Exit(1)
	}
	if _, err := unix.Read(fd, b[:]); err != nil {
		os.Exit(1)
	}
	if err := unix.Close(fd); err != nil {
		os.Exit(1)
	}
}
