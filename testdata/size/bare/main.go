//go:build linux

// A program with the same imports from the standard library and no handle.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f := os.NewFile(uintptr(fd), "eventfd")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	stop := context.AfterFunc(ctx, func() { f.SetDeadline(time.Now()) })
	fmt.Println(f.Write(make([]byte, 8)))
	fmt.Println(stop())
	cancel()
	f.Close()
}
