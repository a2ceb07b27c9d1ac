//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestCutCalls: a thread waits in a call that the log ends in. What only looks
// like one, since the program or another tracer printed it, is none.
func TestCutCalls(t *testing.T) {
	const cut = "read(3, "
	for name, c := range map[string]struct {
		log   string
		waits string
	}{
		"the end":                 {"7 getpid() = 7\n7 " + cut, "thread 7 is in read (line 2)"},
		"the end, poll":           {"poll([{fd=3, events=POLLIN}], 1, -1", "the thread is in poll (line 1)"},
		"the program's output":    {"[pid 7] getpid() = 7\n[pid 8] getpid() = 8\n" + cut + "...\n[pid 7] getpid() = 7\n[pid 8] getpid() = 8\n", ""},
		"without dots":            {"[pid 7] getpid() = 7\n[pid 8] getpid() = 8\n" + cut + "\n[pid 7] getpid() = 7\n[pid 8] getpid() = 8\n", ""},
		"with all arguments":      {"[pid 7] getpid() = 7\n" + cut + "buf, 10)\n[pid 7] getpid() = 7\n[pid 8] getpid() = 8\n", ""},
		"it has printed data":     {"7 getpid() = 7\n7 read(3, \"abc", ""},
		"it has printed events":   {"7 getpid() = 7\n7 epoll_wait(3, [{EPOLLIN", ""},
		"a signal kills later":    {"getpid() = 7\n" + cut + "...\n+++ killed by SIGKILL +++\n", ""},
		"marked by strace":        {"7 " + cut + " <unfinished ...>\n8 getpid() = 8\n", "thread 7 is in read (line 1)"},
		"marked after output":     {"7 " + cut + "hello\n <unfinished ...>\n8 getpid() = 8\n", "thread 7 is in read (line 2)"},
		"its end after output":    {"7 write(1, \"hello\\n\", 6hello\n) = 6\n8 getpid() = 8\n", ""},
		"a line without a thread": {rep(9, "7 getpid() = 7\n") + "read(3, <unfinished ...>\n" + rep(2, "7 getpid() = 7\n"), ""},
		"the last, without one":   {rep(9, "7 getpid() = 7\n") + "read(3, ", ""},
		"a line without a time":   {rep(9, "7 10:00:00.000001 getpid() = 7\n") + "8 read(3, <unfinished ...>\n", ""},
		"the only one left":       {rep(9, "[pid 7] getpid() = 7\n") + "read(3, ", "is in read (line 10)"},
		"the log's form":          {rep(9, "getpid() = 7\n") + "read(3, ", "is in read (line 10)"},
		"another thread's record": {"7 " + cut + "\n8 getpid() = 8\n", ""},
	} {
		got := foundIn(t, c.log)
		if c.waits == "" && strings.Contains(got, "waits-for") || !strings.Contains(got, c.waits) {
			t.Errorf("%s: %q, want %q", name, got, c.waits)
		}
	}
}
