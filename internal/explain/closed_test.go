//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestClosedUnderneath: a call that finds its number closed names the line and
// the thread of the close, and says what the log leaves open.
func TestClosedUnderneath(t *testing.T) {
	const pair = "7 socketpair(AF_UNIX, SOCK_STREAM, 0, [3, 4]) = 0\n"
	const threads = pair + "7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 8\n"
	const write = "7 write(3, \"x\", 1) = -1 EBADF (Bad file descriptor)\n7 getpid() = 7\n"
	const twice = "7 close(3) = -1 EBADF (Bad file descriptor)\n7 getpid() = 7\n"
	for name, c := range map[string]struct{ log, want string }{
		"written":              {threads + "8 close(3) = 0\n" + write, "closed-by-other: write of fd 3 answers EBADF: it was closed at line 3 by thread 8; had"},
		"by the thread itself": {threads + "7 close(3) = 0\n" + write, ""},
		"opened anew":          {threads + "8 close(3) = 0\n8 dup(4) = 3\n7 write(3, \"x\", 1) = 1\n", ""},
		"another process":      {pair + "7 fork() = 8\n8 close(3) = 0\n7 write(3, \"x\", 1) = 1\n", ""},
		"not known to share":   {pair + "8 close(3) = 0\n" + write, ""},
		"twice, two threads":   {threads + "8 close(3) = 0\n" + twice, "closed-by-other: close of fd 3 answers EBADF: it was closed at line 3 by thread 8; had"},
		"twice, one thread":    {threads + "7 close(3) = 0\n" + twice, "closed-by-other: close of fd 3 answers EBADF: it was closed at line 3 by the same thread; had"},
		"twice, if they share": {pair + "8 getpid() = 8\n8 close(3) = 0\n" + twice, "closed-by-other: close of fd 3 answers EBADF: it was closed at line 3 by thread 8, if both threads are of one process; had"},
		"by an unknown call":   {pair + twice, "closed-by-other: close of fd 3 answers EBADF: it was closed before, and the log does not show by which call; had"},
	} {
		if got := foundIn(t, c.log); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
