//go:build linux

package source

import "testing"

func TestMonotonicOffset(t *testing.T) {
	for text, want := range map[string]int64{
		"monotonic      100000          500\nboottime            0         0\n": 100000_000000500,
		"boottime  5 0\nmonotonic  -7  100\n":                                   -6_999999900,
		"monotonic  a  0\n":                                                     0,
		"monotonic  1\n":                                                        0,
		"":                                                                      0,
	} {
		if got := monotonicOffset(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
