//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// notifySignals are the signals that end an observation with its report. If a
// hangup was to be ignored, as under nohup, it stays so.
func notifySignals() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals
}

// signalled is the cause of a context that a signal ended.
type signalled syscall.Signal

func (s signalled) Error() string {
	if syscall.Signal(s) == syscall.SIGINT {
		return "interrupted"
	}
	return "ended by " + syscall.Signal(s).String()
}

// untilSignal is a context that the first of these signals ends.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := notifySignals()
	go func() {
		select {
		case s := <-signals:
			cancel(signalled(s.(syscall.Signal)))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// cannot is the status of a command that could not do its work: the
// signal's if one ended it.
func cannot(ctx context.Context) int {
	if ctx.Err() != nil {
		return endedBy(ctx)
	}
	return exitCannot
}

// endBy ends the process at the next signal: the last output may go to a pipe
// whose reader has stopped reading. The function that it returns ends that.
func (e *env) endBy(signals <-chan os.Signal) func() {
	if !e.alone {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			select {
			case <-time.After(2 * writeLimit): // a write to a FIFO ends by itself
				os.Exit(128 + int(s.(syscall.Signal)))
			case <-done:
			}
		case <-done:
		}
	}()
	return func() { close(done) }
}

// fileMemory is where the garbage collector begins to work harder for a command
// that reads a file.
const fileMemory = 128 << 20

// logMemory is the same for a command that reads a log and keeps a bounded part
// of it: 64 MB are enough whatever the log is.
const logMemory = 54 << 20

// limitMemory has the process keep little garbage. The function that it returns
// ends that.
func (e *env) limitMemory(bytes int64) func() {
	if !e.alone || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetMemoryLimit(bytes)
	return func() { debug.SetMemoryLimit(before) }
}

// endedBy is the status after such a signal.
func endedBy(ctx context.Context) int {
	s, _ := errors.AsType[signalled](context.Cause(ctx))
	return 128 + int(s)
}
