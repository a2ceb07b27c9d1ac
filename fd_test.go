//go:build linux

package efd

import "testing"

// A user that is refused takes its count back, and so can see it at 0 a second
// time. The number is closed once even so.
func TestNumberIsClosedOnce(t *testing.T) {
	e, err := New(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	closes := 0
	defer AddTracer(func(c *Call) {
		if c.Syscall == "close" {
			closes++
		}
	})()
	e.d.state.Store(isLive) // closed, and nobody uses it
	e.d.finish()
	e.d.finish()
	if closes != 1 {
		t.Errorf("closed %d times", closes)
	}
	if err := e.Close(); err == nil || closes != 1 {
		t.Errorf("Close = %v, closed %d times", err, closes)
	}
}
