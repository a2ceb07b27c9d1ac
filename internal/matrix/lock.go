//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// errLocked is the error of tryLock if another process has the lock.
var errLocked = errors.New("another run uses it")

// tryLock locks a directory, which it makes if there is none, against other
// runs. The lock ends with the process too.
func tryLock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if err == syscall.EWOULDBLOCK {
			err = errLocked
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// lock waits for its turn.
func lock(ctx context.Context, dir string, p *progress) (unlock func(), err error) {
	for reported := false; ; reported = true {
		unlock, err := tryLock(dir)
		if !errors.Is(err, errLocked) {
			return unlock, err
		}
		if !reported {
			p.say("%v: waiting", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
