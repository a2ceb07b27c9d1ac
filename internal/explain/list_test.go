//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestManyAlike: of many findings that differ in numbers alone the list has the
// first, and the lines of the others. In JSON each is an object.
func TestManyAlike(t *testing.T) {
	var log strings.Builder
	for i := range 12 {
		fd := itoa(3 + 2*i)
		log.WriteString("7 socket(AF_UNIX, SOCK_STREAM, 0) = " + fd + "\n7 close(" + fd + ") = 0\n7 close(" + fd + ") = -1 EBADF (Bad file descriptor)\n7 getpid() = 7\n")
	}
	got := foundIn(t, log.String())
	const more = "closed-by-other: 8 more like these (lines 19 to 47)\n"
	if n := strings.Count(got, "closed-by-other: close of fd "); n != 4 || !strings.HasSuffix(got, more) {
		t.Errorf("%d paragraphs of\n%swant 4 and %s", n, got, more)
	}
	if all := diagnosed(t, log.String(), ""); len(all) != 12 {
		t.Errorf("JSON has %d, want 12", len(all))
	}
	few := strings.Join(strings.SplitAfter(log.String(), "\n")[:20], "")
	if got := foundIn(t, few); strings.Count(got, "closed-by-other: close of fd ") != 5 || strings.Contains(got, "more") {
		t.Errorf("of five: %s", got)
	}
}
