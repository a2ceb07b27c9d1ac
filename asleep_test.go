//go:build linux

package efd

import (
	"context"
	"os"
	"time"

	procfs "github.com/efd-go/efd/internal/asleep"
)

// waitAsleep waits until the thread tid sleeps in one of the system calls nrs.
func waitAsleep(tid int, nrs ...int) {
	ctx, cancel := context.WithTimeout(context.Background(), procfs.Patience(30*time.Second))
	defer cancel()
	if err := procfs.Await(ctx, os.Getpid(), tid, nrs...); err != nil {
		panic(err)
	}
}
