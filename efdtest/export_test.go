//go:build linux

package efdtest

import (
	"testing"
	"time"
)

// Hasten shortens the limit of a test of what fails, which waits for it.
func Hasten(t testing.TB) {
	old := patience
	patience = 1500 * time.Millisecond
	t.Cleanup(func() { patience = old })
}

// RunTB is Run for other implementations of testing.TB.
func RunTB(t testing.TB, fn func(k *K)) { run(t, fn) }

// Doubt makes the outcome inconclusive, as lost records do.
func (k *K) Doubt(why string) { k.doubt(why) }

// Slow makes it as if the act's thread had waited for a processor.
func (a *Act) Slow(d time.Duration) { a.delay += d }
