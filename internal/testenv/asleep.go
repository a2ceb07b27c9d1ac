//go:build linux

package testenv

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/asleep"
)

// AwaitAsleep waits until a thread of this process sleeps in one of the system
// calls, and ends the test if it does not.
func AwaitAsleep(t testing.TB, tid int, nr ...int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), asleep.Patience(30*time.Second))
	defer cancel()
	if err := asleep.Await(ctx, os.Getpid(), tid, nr...); err != nil {
		t.Fatal(err)
	}
}
