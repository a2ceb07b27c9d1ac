//go:build linux && (amd64 || arm64)

package vhost

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// findWorker finds the task that serves the device: a thread of this process
// from 6.4 on, a thread of the kernel before. It is named after the thread
// that became the device's owner.
func findWorker(owner int) (string, error) {
	name := fmt.Appendf(nil, "vhost-%d\n", owner)
	for _, pattern := range []string{"/proc/self/task/*/comm", "/proc/[0-9]*/comm"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		for _, n := range names {
			if comm, err := os.ReadFile(n); err == nil && bytes.Equal(comm, name) {
				return filepath.Dir(n), nil
			}
		}
	}
	return "", fmt.Errorf("no task named %s in /proc", bytes.TrimSpace(name))
}

// Settle waits until the worker sleeps. A device that gets its backend looks
// at its queue once without a kick, and may still be at work after the call.
func (n *Net) Settle() error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(filepath.Join(n.worker, "stat"))
		if err != nil {
			return err
		}
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && i+2 < len(stat) && stat[i+2] == 'S' {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("vhost's worker does not fall asleep: %s", stat)
		}
	}
}
