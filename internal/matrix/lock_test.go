//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"time"
)

// Two runs neither fetch at the same time nor write to the same place.
func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	unlock, err := tryLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryLock(dir); !errors.Is(err, errLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second lock: %v", err)
	}
	p := &progress{w: io.Discard, begin: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, dir, p); !errors.Is(err, context.Canceled) {
		t.Errorf("lock of a run that is interrupted = %v", err)
	}
	r, w := io.Pipe()
	got := make(chan error, 1)
	go func() {
		_, err := lock(t.Context(), dir, &progress{w: w, begin: time.Now()})
		got <- err
	}()
	if b := make([]byte, 4096); true { // it says that it waits
		if n, err := r.Read(b); err != nil || !strings.Contains(string(b[:n]), "another run uses it: waiting") {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
	unlock()
	if err := testenv.Receive(t, got, "the lock that was given back"); err != nil {
		t.Errorf("lock when the other run has ended = %v", err)
	}
}

// Results go to a directory that no other run writes to.
func TestResultsOfTwoRuns(t *testing.T) {
	dir := t.TempDir()
	unlock, err := tryLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	c := &config{out: dir, cache: t.TempDir(), arch: "amd64", kernels: "6.1", mirror: "http://127.0.0.1:1/debian"}
	if _, err := c.run(t.Context(), io.Discard, io.Discard); !errors.Is(err, errLocked) || !strings.HasPrefix(err.Error(), "-o: ") {
		t.Errorf("run = %v", err)
	}
	if _, err := (&config{out: "/dev/null/x"}).run(t.Context(), io.Discard, io.Discard); err == nil || !strings.HasPrefix(err.Error(), "-o: ") {
		t.Errorf("run with results in /dev/null/x = %v", err)
	}
}
