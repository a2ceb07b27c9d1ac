//go:build linux

package scenario

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon fails a test whose function takes longer than what it waits for.
func soon(t *testing.T, limit time.Duration, fn func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatalf("not over after %v", limit)
		return nil
	}
}

// TestCallThatReturns: a call that returns is not waited for to sleep.
func TestCallThatReturns(t *testing.T) {
	for name, run := range map[string]func(*T) error{
		"the waiter's": func(t *T) error { return t.Wait(func() error { return unix.EPERM }, unix.SYS_READ) },
		"the second waiter's": func(t *T) error {
			_, err := t.Second(func() error { return unix.EPERM }, unix.SYS_READ)
			return err
		},
		"a child's": func(t *T) error {
			c, err := t.Child(step{nr: unix.SYS_READ, args: [6]uintptr{999}, report: 1})
			if err != nil {
				return err
			}
			if err := t.Do(c.proceed); err != nil {
				return err
			}
			return c.asleep(unix.SYS_READ)
		},
	} {
		s := &Scenario{Name: "test", run: run}
		err := soon(t, 10*time.Second, func() error { _, err := s.Run(t.Context(), nil); return err })
		if want := unix.EPERM; name != "a child's" && !errors.Is(err, want) || name == "a child's" && !errors.Is(err, unix.EBADF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCallThatDoesNotReturn: the end of the context ends the scenario, and what
// it is to clean up is cleaned up.
func TestCallThatDoesNotReturn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hang, cleaned := make(chan struct{}), false
	defer close(hang)
	s := &Scenario{Name: "test", run: func(t *T) error {
		t.Cleanup(func() { cleaned = true })
		return t.Do(func() error { cancel(); <-hang; return nil })
	}}
	err := soon(t, lateLimit+10*time.Second, func() error { _, err := s.Run(ctx, nil); return err })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "has not returned") || !cleaned {
		t.Errorf("%v, cleaned up: %v", err, cleaned)
	}
}

// TestChildThatDoesNothing: neither its report nor its stop is waited for
// beyond the context's end.
func TestChildThatDoesNothing(t *testing.T) {
	for name, wait := range map[string]func(*child) error{
		"next":    func(c *child) error { _, err := c.next(); return err },
		"stopped": func(c *child) error { return c.stopped() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		s := &Scenario{Name: "test", run: func(t *T) error {
			c, err := t.Child(exitGroup)
			if err != nil {
				return err
			}
			cancel()
			return wait(c)
		}}
		if err := soon(t, 10*time.Second, func() error { _, err := s.Run(ctx, nil); return err }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
