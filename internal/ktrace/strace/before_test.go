//go:build linux

package strace

import (
	"strings"
	"testing"
)

// TestNumbersBefore: a number right before a record is the thread's, unless it
// is the end of a date or a time.
func TestNumbersBefore(t *testing.T) {
	for line, thread := range map[string]int{
		"1-23 read(3, \"x\", 1) = 1\n":          23,
		"1/23 read(3, \"x\", 1) = 1\n":          23,
		"12-23 read(3, \"x\", 1) = 1\n":         0,
		"2024-05-06 read(3, \"x\", 1) = 1\n":    0,
		"123-23 read(3, \"x\", 1) = 1\n":        23,
		"1.23 read(3, \"x\", 1) = 1\n":          0,
		"10:00:07 read(3, \"x\", 1) = 1\n":      0,
		"x10:00:07 23 read(3, \"x\", 1) = 1\n":  23,
		"a-b 1 - 23 read(3, \"x\", 1) = 1\n":    23,
		"-23 read(3, \"x\", 1) = 1\n":           23,
		"/ 7-1 -1 23 read(3, \"x\", 1) = 1\n":   23,
		"2024-05-06 23 read(3, \"x\", 1) = 1\n": 23,
	} {
		r := NewReader(strings.NewReader(line), 0)
		rec, err := r.Next()
		if err != nil || rec.Type != CallLine || rec.PID != thread {
			t.Errorf("%s: %v of thread %d, want %d (%v)", line, rec.Type, rec.PID, thread, err)
		}
	}
}
