//go:build linux

package strace

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// TestNestedLiterals: literals within literals do not make a line cost more than
// a few looks at it.
func TestNestedLiterals(t *testing.T) {
	s := `read(3, "x`
	for range 9 {
		b, err := json.Marshal(map[string]string{"log": s})
		if err != nil {
			t.Fatal(err)
		}
		s = string(b)
	}
	s = `{"n":7,"y":` + s[1:] + "\n"
	lines := strings.Repeat(s, 20)
	allocs := testing.AllocsPerRun(1, func() {
		r := NewReader(strings.NewReader(lines), 0)
		for {
			if _, err := r.Next(); err == io.EOF {
				return
			}
		}
	})
	if most := 20.0 * 4000; allocs > most {
		t.Errorf("%.0f allocations for 20 lines of %d bytes, want %.0f at most", allocs, len(s), most)
	}
	t.Logf("%.0f allocations", allocs)
}
