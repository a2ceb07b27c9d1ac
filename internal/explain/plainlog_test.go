//go:build linux

package explain

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// recordsOf are the types and threads of a log's lines.
func recordsOf(log string) (out []string) {
	r := strace.NewReader(strings.NewReader(log), 0)
	for {
		rec, err := r.Next()
		if err != nil {
			return out
		}
		out = append(out, fmt.Sprintf("%s %d %s", rec.Type, rec.PID, rec.Call.Name))
	}
}

// Lines that begin alike for another reason are as they were: threads that an
// attached strace lists, calls that a program prints, logs that are not strace's.
func TestNothingIsLearnedFalsely(t *testing.T) {
	var attached, printed, other strings.Builder
	for i := range 12 {
		fmt.Fprintf(&attached, "%d futex(0x7f00, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>\n", 20925+i)
	}
	for i := range 40 {
		fmt.Fprintf(&printed, "7 close(%d) = 0\n", i)
	}
	printed.WriteString("debug: read(3, buf, 8) = 8\n")
	for i := range 20 {
		fmt.Fprintf(&other, "Nov 17 18:45:41 node1 kernel[1]: usb %d-1: new device (id=%d) = found\n", i, i)
	}
	for name, c := range map[string]struct {
		log  string
		want func(i int) string
	}{
		"attached": {attached.String(), func(i int) string { return fmt.Sprintf("unfinished %d futex", 20925+i) }},
		"printed": {printed.String(), func(i int) string {
			if i == 40 {
				return "other 0 "
			}
			return "call 7 close"
		}},
		"other": {other.String(), func(int) string { return "other 0 " }},
	} {
		for i, got := range recordsOf(c.log) {
			if got != c.want(i) {
				t.Errorf("%s, line %d: %s, want %s", name, i+1, got, c.want(i))
				break
			}
		}
	}
	for _, f := range logs(t) {
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r := strace.NewReader(strings.NewReader(string(in)), 0)
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			if rec.Wrapped {
				t.Errorf("%s: line %d is taken for wrapped", f, rec.Line)
			}
		}
	}
}
