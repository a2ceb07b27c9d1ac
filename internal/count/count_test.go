//go:build linux

package count

import (
	"math"
	"testing"
)

func TestOf(t *testing.T) {
	for want, got := range map[string]string{
		"0 wakes":                         Of(0, "wake"),
		"1 wake":                          Of(1, "wake"),
		"-1 wakes":                        Of(-1, "wake"),
		"18446744073709551615 wakes":      Of(uint64(math.MaxUint64), "wake"),
		"1 record was lost":               Of(uint8(1), "record was lost", "records were lost"),
		"255 records were lost":           Of(uint8(255), "record was lost", "records were lost"),
		"0 processes":                     Of(int64(0), "process", "processes"),
		"-9223372036854775808 losses":     Of(int64(math.MinInt64), "loss", "losses"),
		"was" + Word(2, " and is", " is"): "was is",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
