package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// endings are the signals that end an observation with its report. Where a
// hangup was to be ignored, as under nohup, it stays so.
func endings() chan os.Signal {
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
	signals := endings()
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

// endedBy is the status after such a signal.
func endedBy(ctx context.Context) int {
	s, _ := errors.AsType[signalled](context.Cause(ctx))
	return 128 + int(s)
}
