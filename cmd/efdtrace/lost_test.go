//go:build linux

package main

import "testing"

func TestLostText(t *testing.T) {
	for want, got := range map[string]string{
		"1 record was lost (1 of perf:cpu 1).":                        lostText(1, map[string]uint64{"perf:cpu 1": 1}),
		"3 records were lost (2 of kmem:kfree, 1 of raw_syscalls:x).": lostText(3, map[string]uint64{"kmem:kfree": 2, "raw_syscalls:x": 1}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
