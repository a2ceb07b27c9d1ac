//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestOrphans: of a second half without its first only what it shows is said,
// as that.
func TestOrphans(t *testing.T) {
	const unseen = " whose beginning is not in the log"
	for _, c := range []struct{ log, want string }{
		{"[pid 20] <... poll resumed>)  = 1 ([{fd=19, revents=POLLIN}])\n", "the end of a call of poll" + unseen + ": 1 ready, 19 POLLIN [poll]"},
		{"[pid 21] <... ppoll resumed>) = 0 (Timeout)\n", "the end of a call of ppoll" + unseen + ": nothing ready [poll]"},
		{"[pid 22] <... select resumed>) = 1 (in [4], left {tv_sec=3, tv_usec=2})\n", "the end of a call of select" + unseen + ": 1 ready, in [4] [select]"},
		{"[pid 23] <... pselect6 resumed>) = 0 (Timeout)\n", "the end of a call of pselect6" + unseen + ": nothing ready [select]"},
		{"[pid 24] <... epoll_wait resumed>[{events=EPOLLIN, data={u32=5, u64=5}}], 128, -1) = 1\n", "the end of a call of epoll_wait" + unseen + ", without limit: 1 ready, data 5 (perhaps fd 5) EPOLLIN [epoll_wait]"},
		{"[pid 25] <... epoll_pwait resumed>[], 128, 500, NULL, 8) = 0\n", "the end of a call of epoll_pwait" + unseen + ", at most 500 ms: nothing ready [epoll_wait]"},
		{"[pid 26] <... epoll_wait resumed> {{EPOLLIN, {u32=5, u64=5}}}, 128, 4294967295) = 1\n", ", without limit: 1 ready, data 5 (perhaps fd 5) EPOLLIN [epoll_wait]"},
		{"[pid 27] <... read resumed>\"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n", ""},
		{"[pid 29] <... epoll_ctl resumed>) = 0\n", "the end of a call of epoll_ctl" + unseen + " [epoll_ctl]"},
		{"[pid 30] <... eventfd2 resumed>) = 7\n", "makes eventfd 7; the beginning of the call is not in the log [eventfd2]"},
		{"[pid 31] <... epoll_create1 resumed>) = 8\n", "makes epoll 8; the beginning of the call is not in the log [epoll_create1]"},
		{"[pid 32] <... poll resumed>) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)\n", "the end of a call of poll" + unseen + ": a signal ends it (ERESTART_RESTARTBLOCK) [poll, signal: EINTR]"},
		{"[pid 33] <... epoll_wait resumed>0x7ffd, 128, -1) = -1 EINTR (Interrupted system call)\n", "the end of a call of epoll_wait" + unseen + ", without limit: a signal ends it (EINTR) [epoll_wait, signal: EINTR]"},
		{"[pid 34] <... restart_syscall resumed> ) = -1 ETIMEDOUT (Connection timed out)\n", ""},
		{"[pid 34] <... epoll_wait resumed>) = 1\n", "the end of a call of epoll_wait" + unseen + ": 1 ready [epoll_wait]"},
	} {
		if got := lastSentence(t, c.log); !strings.HasSuffix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s got %q\nwant %q", c.log, got, c.want)
		}
	}
}

// TestOrphanFlags: of an eventfd whose flags are not in the log neither what a
// read takes nor that it does not block is claimed.
func TestOrphanFlags(t *testing.T) {
	got := sentences(t, "9 <... eventfd2 resumed>) = 7\n9 read(7, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n")
	if want := "takes 1 off the counter of eventfd 7 [eventfd_read]"; len(got) != 2 || got[1] != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := lastSentence(t, "read(7<anon_inode:[eventfd]>, \"\\2\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"); !strings.HasPrefix(got, "takes 2, all there is, off") {
		t.Errorf("got %q: no semaphore gives 2", got)
	}
}
