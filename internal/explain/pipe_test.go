//go:build linux

package explain

import (
	"fmt"
	"strings"
	"testing"
)

// TestUnreadAmongTraffic: a ready descriptor that nobody reads is found among descriptors
// that are served. It is no loop if a wait now and then gives it with others.
func TestUnreadAmongTraffic(t *testing.T) {
	const made = "pipe2([5, 6], O_CLOEXEC) = 0\nsocket(AF_UNIX, SOCK_STREAM, 0) = 7\n"
	const joined = made + "epoll_create1(0) = 4\nepoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data={u32=5, u64=5}}) = 0\n" +
		"epoll_ctl(4, EPOLL_CTL_ADD, 7, {events=EPOLLIN, data={u32=7, u64=7}}) = 0\n"
	const serve = "read(7, \"hello\", 4096) = 5\nwrite(7, \"hello\", 5) = 5\n"
	const both = "epoll_wait(4, [{events=EPOLLIN, data={u32=5, u64=5}}, {events=EPOLLIN, data={u32=7, u64=7}}], 64, -1) = 2\n" + serve
	const alone = "epoll_wait(4, [{events=EPOLLIN, data={u32=5, u64=5}}], 64, -1) = 1\n"
	const polled = "poll([{fd=5, events=POLLIN}, {fd=7, events=POLLIN}], 2, -1) = "
	const bothPolled = polled + "2 ([{fd=5, revents=POLLIN}, {fd=7, revents=POLLIN}])\n" + serve
	const taken = "read(5, \"x\", 1) = 1\n"
	found := func(of string, n int) string {
		return fmt.Sprintf("spin-unread: %s ready with %sPOLLIN %d times in a row, the log shows no sleep in between, and nothing was read from it", of, map[bool]string{true: "E"}[of[0] == 'e'], n)
	}
	for name, c := range map[string]struct{ log, want string }{
		"epoll":                         {joined + rep(8, both+alone+alone), found("epoll 4 found pipe 5", 24)},
		"epoll, always both":            {joined + rep(40, both), found("epoll 4 found pipe 5", 40)},
		"poll":                          {made + rep(8, bothPolled+polled+"1 ([{fd=5, revents=POLLIN}])\n"+polled+"1 ([{fd=5, revents=POLLIN}])\n"), found("poll found pipe 5", 24)},
		"attached":                      {rep(8, both+alone+alone), found("epoll 4 found the descriptor with data 5 (likely fd 5)", 24)},
		"in turn":                       {joined + rep(7, both), ""},
		"passed over for a time":        {joined + rep(8, rep(20, both)+taken), ""},
		"read in each round":            {joined + rep(40, both+taken), ""},
		"attached, read":                {rep(40, both+taken), ""},
		"attached, data are no numbers": {rep(40, strings.ReplaceAll(both, "(7,", "(9,")), ""},
		"a sleep in each round":         {joined + rep(40, both+"nanosleep({tv_sec=0, tv_nsec=1000000}, NULL) = 0\n"), ""},
	} {
		if got := foundIn(t, c.log); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
