//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestMixedThreads: of a log in which the calls and results of threads are
// mixed, nothing is said from there on, and the end says that.
func TestMixedThreads(t *testing.T) {
	const log = "9 eventfd2(0,0) = 3\n9 write(3,0x7ff,8) = 8\n9 poll(274894697016,1,-1)9 read(4,0x7ff,8) = 8\n9 close(3) = 1\n9 close(3) = -1 errno=9 (Bad file descriptor)\n9 read(3,0x7ff,8"
	got := text(t, log, Options{FD: -1})
	if !strings.Contains(got, "makes eventfd 3") || !strings.HasSuffix(got, "#: unread: 4 of 6 lines: 4 with calls of several threads mixed, so that no result is known to be one's own; the first is line 3\n") {
		t.Errorf("got\n%s", got)
	}
	for _, no := range []string{"found: ", "story: ", "closes"} {
		if strings.Contains(got, no) {
			t.Errorf("%q is said:\n%s", no, got)
		}
	}
}
