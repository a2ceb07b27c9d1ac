//go:build linux

package testenv

import (
	"sync"
	"testing"
)

// On whatever thread it asks, Emulated says the same.
func TestEmulatedIsOneAnswer(t *testing.T) {
	want := Emulated()
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 200 {
				if got := Emulated(); got != want {
					t.Errorf("Emulated() = %t after %t", got, want)
					return
				}
			}
		})
	}
	Within(t, "the threads that ask", g.Wait)
}
