//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestTogether: findings that differ in the descriptor alone are one paragraph,
// with the remedy once; in JSON each is an object.
func TestTogether(t *testing.T) {
	const poll = "7 poll([{fd=3, events=POLLOUT}, {fd=4, events=POLLOUT}, {fd=5, events=POLLOUT}], 3, -1) = 3 ([{fd=3, revents=POLLOUT}, {fd=4, revents=POLLOUT}, {fd=5, revents=POLLOUT}])\n"
	const less = "7 poll([{fd=3, events=POLLOUT}, {fd=4, events=POLLOUT}], 2, -1) = 2 ([{fd=3, revents=POLLOUT}, {fd=4, revents=POLLOUT}])\n"
	const remedy = "ask for POLLOUT only while there is something to write"
	said := func(log, prefix string) (out []string) {
		for line := range strings.Lines(text(t, log, Options{FD: -1})) {
			if s, ok := strings.CutPrefix(line, mark+prefix); ok {
				out = append(out, strings.TrimSpace(s))
			}
		}
		return out
	}
	same := strings.Repeat(poll, 10)
	want := "spin-output: poll found fd 3, fd 4 and fd 5 each ready with POLLOUT 10 times in a row, the log shows no sleep in between, and nothing was written to it (lines 1, 2, 3 … 10); " + remedy
	if got := said(same, found); len(got) != 1 || got[0] != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := said(same, "warning: "); len(got) != 1 || !strings.HasPrefix(got[0], "spin-output: poll found fd 3, fd 4 and fd 5 each ready with POLLOUT 8 times") || strings.Count(got[0], remedy) != 1 {
		t.Errorf("got %q", got)
	}
	got := said(same+less, found)
	if len(got) != 2 || !strings.Contains(got[0], "fd 3 and fd 4 each ready with POLLOUT 11 times") || !strings.Contains(got[1], "found fd 5 ready with POLLOUT 10 times") {
		t.Errorf("other counts: got %q", got)
	}
	for _, s := range got {
		if !strings.HasSuffix(s, "; "+remedy) || strings.Count(s, remedy) != 1 {
			t.Errorf("no remedy once at the end: %q", s)
		}
	}
	if got := diagnosed(t, same, ""); len(got) != 3 || got[0].FD == got[1].FD {
		t.Errorf("JSON has %v, want one for each of 3 descriptors", got)
	}
	other := "7 close(3) = 0\n7 close(4) = 0\n" + strings.Repeat("7 poll([{fd=3, events=POLLIN}, {fd=4, events=POLLIN}], 2, -1) = 2 ([{fd=3, revents=POLLNVAL}, {fd=4, revents=POLLNVAL}])\n", 3)
	if got := said(other, found); len(got) != 2 || !strings.HasPrefix(got[1], "nval: fd 4 was closed at line 2 by thread 7 and is waited for 3 times") {
		t.Errorf("with verbs of their own: got %q", got)
	}
}
