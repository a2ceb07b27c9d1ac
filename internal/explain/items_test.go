//go:build linux

package explain

import (
	"fmt"
	"strings"
	"testing"
)

// TestEvents: what epoll_wait hands out is named by its registration if there is
// but one, and as the log prints it if there is none.
func TestEvents(t *testing.T) {
	const made = "epoll_create1(0) = 4\neventfd2(0, 0) = 5\npipe2([6, 7], 0) = 0\n"
	const add5 = "epoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data={u32=9, u64=9}}) = 0\n"
	const add6 = "epoll_ctl(4, EPOLL_CTL_ADD, 6, {events=EPOLLIN, data={u32=9, u64=9}}) = 0\n"
	const del6 = "epoll_ctl(4, EPOLL_CTL_DEL, 6, NULL) = 0\n"
	const wait = "epoll_wait(4, [{events=EPOLLIN, data={u32=9, u64=9}}], 8, 0) = 1\n"
	for _, c := range []struct{ name, log, want string }{
		{"unknown", "epoll_wait(4, [{EPOLLIN, {u32=21, u64=21}}], 8, 0) = 1\n", "data 21 (perhaps fd 21) EPOLLIN"},
		{"rubbish above", "epoll_wait(4, [{EPOLLIN, {u32=17, u64=69435872986005521}}], 8, 0) = 1\n", "data 69435872986005521 (perhaps fd 17) EPOLLIN"},
		{"an address", "epoll_wait(4, [{EPOLLIN, {u32=1521856274, u64=140713240407826}}], 8, 0) = 1\n", "data 140713240407826 EPOLLIN"},
		{"an address, hexadecimal", "epoll_wait(4, [{events=EPOLLIN, data=0x7ff05ab5b312}], 8, 0) = 1\n", "data 0x7ff05ab5b312 EPOLLIN"},
		{"0", "epoll_wait(4, [{EPOLLIN, {u32=0, u64=0}}], 8, 0) = 1\n", "1 ready, data 0 EPOLLIN"},
		{"a change that succeeds", "epoll_ctl(4, EPOLL_CTL_MOD, 17, {EPOLLIN, {u32=17, u64=69435872986005521}}) = 0\nepoll_pwait(4, {{EPOLLIN|EPOLLHUP, {u32=17, u64=69435872986005521}}}, 1024, 0, NULL, 8) = 1\n",
			"1 ready, fd 17 EPOLLIN|EPOLLHUP; returns at once [epoll_wait: epoll_pwait, pwait, level]"},
		{"one", made + add5 + wait, "1 ready, eventfd 5 EPOLLIN"},
		{"two with the same data", made + add5 + add6 + wait, "1 ready, data 9 (perhaps fd 9) EPOLLIN"},
		{"the second was taken out", made + add5 + add6 + del6 + wait, "1 ready, eventfd 5 EPOLLIN"},
		{"the first was taken out", made + add6 + add5 + del6 + wait, "1 ready, eventfd 5 EPOLLIN"},
		{"under the number it was put in with", made + "dup(5) = 8\n" + add5 + wait, "1 ready, eventfd 5 EPOLLIN"},
		{"its number is closed", made + "dup(5) = 8\n" + add5 + "close(5) = 0\n" + wait, "1 ready, eventfd 5 EPOLLIN"},
		{"put in, and not in", "epoll_ctl(7, EPOLL_CTL_ADD, 18, {EPOLLIN, {u32=18, u64=18}}) = 0\nepoll_ctl(7, EPOLL_CTL_MOD, 18, {EPOLLOUT, {u32=18, u64=18}}) = -1 ENOENT (No such file or directory)\n",
			"it is not in, though line 1 has it in: it was taken out, or closed and opened again, by something that the log does not show"},
		{"64 bits", "epoll_ctl(3, EPOLL_CTL_DEL, 4294967296, {0, {u32=0, u64=4294967296}}) = -1 EBADF (Bad file descriptor)\n",
			"takes fd 0 out of epoll 3 (the lower half of 4294967296); fails with EBADF: one of the two is not open"},
		{"64 bits of -1", "epoll_ctl(3, EPOLL_CTL_DEL, 4294967295, {0, {u32=0, u64=0}}) = -1 EBADF (Bad file descriptor)\n", "takes fd -1 out of epoll 3 (the lower half of 4294967295)"},
	} {
		if got := lastSentence(t, c.log); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s got %q\nwant %q", c.name, c.log, got, c.want)
		}
	}
}

// TestElidedMembers: strace prints 32 members of a poll and all that answer.
func TestElidedMembers(t *testing.T) {
	var members []string
	for fd := 3; fd < 35; fd++ {
		members = append(members, fmt.Sprintf("{fd=%d, events=POLLIN}", fd))
	}
	list := "poll([" + strings.Join(members, ", ") + ", ...], 40, "
	got := lastSentence(t, list+"100) = 2 ([{fd=80, revents=POLLIN}, {fd=82, revents=POLLIN}])\n")
	if want := "fd 6 (POLLIN) and 36 more, at most 100 ms: 2 ready, 80 POLLIN, 82 POLLIN"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	nval := strings.Repeat(list+"-1) = 1 ([{fd=41, revents=POLLNVAL}])\n", 2)
	if got := warnings(t, nval); len(got) != 1 || !strings.Contains(got[0], "nval: fd 41 is not open") {
		t.Errorf("warnings %q, want one of fd 41", got)
	}
	if got := text(t, "close(80) = 0\n"+list+"100) = 1 ([{fd=80, revents=POLLNVAL}])\n", Options{FD: -1}); !strings.Contains(got, "80 POLLNVAL; returns at once") {
		t.Errorf("got %q", got)
	}
}

// TestClosedMember: one closed member is enough for a poll to return at once,
// and it has to have been closed before.
func TestClosedMember(t *testing.T) {
	const poll = "poll([{fd=4, events=POLLIN}, {fd=5, events=POLLIN}, {fd=-1}], 3, -1"
	const nval = ") = 1 ([{fd=5, revents=POLLNVAL}])\n"
	if got := text(t, "9 close(5) = 0\n9 "+poll+nval, Options{FD: -1}); !strings.Contains(got, "5 POLLNVAL; returns at once") {
		t.Errorf("closed before: %q", got)
	}
	if got := text(t, "9 "+poll+" <unfinished ...>\n8 close(5) = 0\n9 <... poll resumed>"+nval, Options{FD: -1}); strings.Contains(got, "at once") {
		t.Errorf("closed during the call: %q", got)
	}
}

// TestNamedFirst: where there is no place for all, the members that are ready,
// odd or not open are named first; numbers below 0 are counted.
func TestNamedFirst(t *testing.T) {
	const six = "[{fd=3, events=POLLIN}, {fd=4, events=POLLIN}, {fd=5, events=POLLIN}, {fd=6, events=POLLIN}, {fd=7, events=POLLIN}, {fd=8, events=0}], 6, -1) = "
	items := func(masks ...string) string {
		var all []string
		for i, m := range masks {
			all = append(all, fmt.Sprintf("{events=%s, data={u32=%d, u64=%d}}", m, i+3, i+3))
		}
		return fmt.Sprintf("epoll_wait(9, [%s], 8, 0) = %d\n", strings.Join(all, ", "), len(masks))
	}
	for _, c := range []struct{ name, log, want string }{
		{"all have a place", "poll([{fd=3, events=POLLIN}, {fd=4, events=POLLIN}], 2, -1) = 1 ([{fd=4, revents=POLLHUP}])\n", "waits for fd 3 (POLLIN), fd 4 (POLLIN), without limit: 1 ready, 4 POLLHUP"},
		{"an error unasked", "poll(" + six + "1 ([{fd=8, revents=POLLERR}])\n", "waits for fd 8 (0), fd 3 (POLLIN), fd 4 (POLLIN), fd 5 (POLLIN) and 2 more, without limit: 1 ready, 8 POLLERR"},
		{"ready behind odd", "poll(" + six + "2 ([{fd=6, revents=POLLIN}, {fd=7, revents=POLLIN|POLLHUP}])\n", "waits for fd 7 (POLLIN), fd 6 (POLLIN), fd 8 (0), fd 3 (POLLIN) and 2 more, without limit: 2 ready, 6 POLLIN, 7 POLLIN|POLLHUP"},
		{"closed", "close(7) = 0\npoll(" + six + "-1 EINTR (Interrupted system call)\n", "waits for fd 7 (POLLIN), fd 8 (0), fd 3 (POLLIN), fd 4 (POLLIN) and 2 more"},
		{"answers", "poll(" + six + "6 ([{fd=3, revents=POLLIN}, {fd=4, revents=POLLIN}, {fd=5, revents=POLLIN}, {fd=6, revents=POLLIN}, {fd=7, revents=POLLNVAL}, {fd=8, revents=POLLERR}])\n",
			": 6 ready, 7 POLLNVAL, 8 POLLERR, 3 POLLIN, 4 POLLIN and 2 more"},
		{"a bit without a name", "poll(" + six + "5 ([{fd=3, revents=POLLIN}, {fd=4, revents=POLLIN}, {fd=5, revents=POLLIN}, {fd=6, revents=POLLIN}, {fd=7, revents=POLLIN|0x4000}])\n", ": 5 ready, 7 POLLIN|0x4000, 3 POLLIN"},
		{"negative numbers", "poll([{fd=-1}, {fd=-1}, {fd=-1}, {fd=3, events=POLLIN}, {fd=-1}, {fd=5, events=POLLIN}], 6, -1) = 1 ([{fd=5, revents=POLLNVAL}])\n",
			"waits for fd 3 (POLLIN), fd 5 (POLLIN), 4 negative numbers skipped, without limit: 1 ready, 5 POLLNVAL"},
		{"one of them", "poll([{fd=-1}, {fd=3, events=POLLIN}], 2, 0) = 0 (Timeout)\n", "looks at fd 3 (POLLIN), 1 negative number skipped: nothing"},
		{"nothing else", "poll([{fd=-1}], 1, 0) = 0 (Timeout)\n", "looks at nothing (a negative number is skipped): nothing"},
		{"nothing else, twice", "poll([{fd=-1}, {fd=-5}], 2, 0) = 0 (Timeout)\n", "looks at nothing (2 negative numbers are skipped): nothing"},
		{"epoll", items("EPOLLIN", "EPOLLIN", "EPOLLIN", "EPOLLIN", "EPOLLIN", "EPOLLERR|EPOLLHUP"), ": 6 ready, data 8 (perhaps fd 8) EPOLLERR|EPOLLHUP, data 3 (perhaps fd 3) EPOLLIN, data 4 (perhaps fd 4) EPOLLIN, data 5 (perhaps fd 5) EPOLLIN and 2 more"},
		{"epoll, all odd", items("EPOLLHUP", "EPOLLHUP", "EPOLLHUP", "EPOLLHUP", "EPOLLHUP", "EPOLLIN"), "data 6 (perhaps fd 6) EPOLLHUP and 2 more"},
		{"epoll, all named", items("EPOLLIN", "EPOLLHUP"), ": 2 ready, data 3 (perhaps fd 3) EPOLLIN, data 4 (perhaps fd 4) EPOLLHUP"},
	} {
		if got := lastSentence(t, c.log); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s got %q\nwant %q", c.name, c.log, got, c.want)
		}
	}
}
