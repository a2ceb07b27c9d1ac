//go:build linux

package efd

import (
	"strconv"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/testenv"
)

// untraced is what a call pays where there is no tracer.
func untraced(n int) (told int) {
	for range n {
		if tracing.Load() != nil {
			told++
		}
	}
	return told
}

func BenchmarkNoTracer(b *testing.B) {
	if untraced(b.N) != 0 {
		b.Fatal("there is a tracer")
	}
}

func TestNoTracerCostsNothing(t *testing.T) {
	testenv.RealSpeed(t)
	if raceEnabled {
		t.Skip("measures time, and the race detector is on")
	}
	if strconv.IntSize == 32 {
		t.Skip("the limit is one for 64-bit processors' calls")
	}
	const n = 2_000_000
	best := time.Hour
	for range 20 {
		start := time.Now()
		if untraced(n) != 0 {
			t.Fatal("there is a tracer")
		}
		best = min(best, time.Since(start))
	}
	if each := float64(best) / n; each >= 2 {
		t.Errorf("%.2f ns a call, want less than 2", each)
	} else {
		t.Logf("%.2f ns a call", each)
	}
}
