//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

// Not only how much was lost is said in the forms that have notes.
func TestPicturesSayWhatWasLost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lossy")
	lines := `{"recording":{"version":1,"release":"6.18.44","arch":"x86_64","symbols":{}}}
{"loss":{"src":"raw_syscalls:sys_enter","count":7,"from":1,"to":2}}
`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"text", "jsonl", "html"} {
		if _, stdout, stderr := invoke(t, "replay", "-format", form, file); !strings.Contains(stdout, "7 of raw_syscalls:sys_enter") {
			t.Errorf("-format %s: %.500s %s", form, stdout, stderr)
		}
	}
}
