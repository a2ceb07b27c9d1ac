//go:build linux

package explain

import (
	"slices"
	"strings"
	"testing"
)

func rep(n int, lines string) string { return strings.Repeat(lines, n) }

// Logs of each kind of mistake, in other forms than the programs under strace
// give.
func TestKinds(t *testing.T) {
	const eof = "recvfrom(9, \"\", 4096, 0, NULL, NULL) = 0\n"
	for name, c := range map[string]struct{ log, want string }{
		"the end, attached, by epoll":       {rep(6, "[pid  7] epoll_wait(3, [{EPOLLIN|EPOLLRDHUP, {u32=9, u64=9}}], 64, 1000) = 1\n[pid  7] "+eof), "spin-eof"},
		"the end, with a sleep between":     {rep(6, "select(10, [9], NULL, NULL, {1, 0}) = 1 (in [9], left {0, 999990})\n"+eof+"nanosleep({0, 50000000}, NULL) = 0\n"), "spin-eof"},
		"HUP, with a needless MOD":          {rep(9, "epoll_ctl(4, EPOLL_CTL_MOD, 17, {EPOLLIN, {u32=17, u64=69435872986005521}}) = 0\nepoll_wait(4, [{EPOLLIN|EPOLLHUP, {u32=17, u64=69435872986005521}}], 1024, -1) = 1\n"), "modify-unchanged spin-hangup"},
		"HUP of a poll, with times":         {rep(9, "10:26:47.123456 poll([{fd=5, events=POLLIN}], 1, -1) = 1 ([{fd=5, revents=POLLHUP}])\n"), "spin-hangup"},
		"PRI and ERR of a pressure file":    {rep(9, "epoll_wait(4, [{EPOLLPRI|EPOLLERR, {u32=1, u64=94433624421082}}], 23, -1) = 1\nclock_gettime(CLOCK_MONOTONIC, {1, 2}) = 0\n"), "spin-error"},
		"_newselect with a time-out of 0":   {rep(9, "_newselect(8, [4 7], [], [], {0, 0}) = 0 (Timeout)\nrecv(7, 0x7fff, 512, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)\ngettimeofday({1, 2}, NULL) = 0\n"), "spin-zero-timeout"},
		"accept4 and EMFILE, data a number": {rep(4, "epoll_pwait(3, [{EPOLLIN, {u32=6, u64=6}}], 1024, -1, NULL, 8) = 1\naccept4(6, NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK) = -1 EMFILE (Too many open files)\n"), "accept-emfile"},
		"ghost with ENOENT":                 {rep(4, "epoll_wait(5, [{EPOLLIN, {u32=12, u64=12}}], 1024, 0) = 1\nepoll_ctl(5, EPOLL_CTL_DEL, 12, 0x7ffe) = -1 ENOENT (No such file or directory)\n"), "ghost-registration"},
		"a number closed and used anew":     {"epoll_ctl(4, EPOLL_CTL_ADD, 18, {EPOLLIN, {u32=18, u64=18}}) = 0\nepoll_ctl(4, EPOLL_CTL_MOD, 18, {EPOLLOUT, {u32=18, u64=18}}) = -1 ENOENT (No such file or directory)\n", "closed-by-other"},
		"a herd of processes": {rep(3, "[pid 11] epoll_wait(7, {{EPOLLIN, {u32=4, u64=4}}}, 1, -1) = 1\n[pid 12] epoll_wait(8, {{EPOLLIN, {u32=4, u64=4}}}, 1, -1) = 1\n"+
			"[pid 11] accept4(4, {sa_family=AF_INET}, [16], SOCK_NONBLOCK) = 9\n[pid 12] accept4(4, 0x7ff, [112], SOCK_NONBLOCK) = -1 EAGAIN (Resource temporarily unavailable)\n[pid 11] close(9) = 0\n"), "thundering-herd"},
		"EPOLLOUT taken back, attached": {"write(9, \"xyz\"..., 4096) = -1 EAGAIN (Resource temporarily unavailable)\nepoll_ctl(4, EPOLL_CTL_MOD, 9, {EPOLLIN|EPOLLOUT|EPOLLET, {u32=9, u64=9}}) = 0\n" +
			"epoll_ctl(4, EPOLL_CTL_MOD, 9, {EPOLLIN|EPOLLET, {u32=9, u64=9}}) = 0\nepoll_wait(4,  <detached ...>\n", "lost-edge"},
		"days in milliseconds":           {"epoll_wait(3, [], 32, 2100000000) = 0\n", "wrong-unit"},
		"a time-out of days that was up": {"epoll_wait(3, {}, 32, 758609984) = 0 <5.000088>\n", "wrong-unit"},
		"a select that lost its sets":    {"select(1048577, [3], NULL, NULL, {1, 0}) = 0 (Timeout)\n", "fd-above-setsize"},
	} {
		if got := strings.Join(codesFound(t, c.log, ""), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Logs of healthy programs that look like mistakes.
func TestHealthyKinds(t *testing.T) {
	const ready = "epoll_wait(4, [{EPOLLIN, {u32=9, u64=9}}], 64, 1000) = 1\n"
	var sweep strings.Builder
	for fd := 3; fd < 40; fd++ {
		sweep.WriteString("close(" + itoa(fd) + ") = -1 EBADF (Bad file descriptor)\n")
	}
	for name, log := range map[string]string{
		"read by recvmsg":                          rep(20, ready+"recvmsg(9, {msg_name=NULL, msg_iov=[{iov_base=\"x\", iov_len=4096}], msg_iovlen=1}, 0) = 1\n"),
		"read by another number than the data":     rep(20, ready+"read(31, \"x\", 4096) = 1\n"),
		"given to another thread":                  rep(20, ready+"futex(0x7f00, FUTEX_WAKE_PRIVATE, 1) = 1\n"),
		"waits that sleep, by -T":                  rep(20, "epoll_wait(4, [{EPOLLIN, {u32=9, u64=9}}], 64, 1000) = 1 <0.020123>\n"),
		"a mapped ring":                            "bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_RINGBUF}, 72) = 6\n" + rep(20, "poll([{fd=6, events=POLLIN}], 1, -1) = 1 ([{fd=6, revents=POLLIN}])\n"),
		"data until the hangup is read":            rep(20, "poll([{fd=5, events=POLLIN}], 1, -1) = 1 ([{fd=5, revents=POLLIN|POLLHUP}])\nread(5, \"x\", 1) = 1\n"),
		"an event loop that has work":              "epoll_create1(EPOLL_CLOEXEC) = 3\n" + rep(30, "epoll_wait(3, [], 1, 0) = 0\n") + "epoll_wait(3, [], 1, 10) = 0\n",
		"looks between work":                       rep(20, "poll([{fd=4, events=POLLIN}], 1, 0) = 0 (Timeout)\nwrite(1, \"x\", 1) = 1\n"),
		"all numbers closed":                       "socket(AF_INET, SOCK_STREAM, 0) = 5\nclose(5) = 0\n" + sweep.String(),
		"EMFILE once, with a spare":                ready + "accept4(9, NULL, NULL, SOCK_CLOEXEC) = -1 EMFILE (Too many open files)\nclose(8) = 0\naccept4(9, NULL, NULL, SOCK_CLOEXEC) = 8\nclose(8) = 0\n",
		"accept until EAGAIN":                      rep(9, "epoll_wait(4, [{EPOLLIN, {u32=9, u64=9}}], 64, -1) = 1\naccept4(9, NULL, NULL, SOCK_NONBLOCK) = 12\naccept4(9, NULL, NULL, SOCK_NONBLOCK) = -1 EAGAIN (Resource temporarily unavailable)\n"),
		"one number for both directions":           rep(3, "poll([{fd=5, events=POLLIN}, {fd=5, events=POLLOUT}, {fd=-1}, {fd=-1}], 4, 10) = 0 (Timeout)\n"),
		"the size of the table for nfds":           "select(65536, [3 4], NULL, NULL, {1, 0}) = 0 (Timeout)\n",
		"as long as a time-out can be":             "epoll_wait(13, [], 1024, 2147483647) = -1 EINTR (Interrupted system call)\nepoll_wait(13, [{EPOLLIN, {u32=9, u64=9}}], 1024, 2147483646) = 1\n",
		"EPOLLOUT asked for and given":             rep(9, "write(9, \"x\"..., 4096) = -1 EAGAIN (Resource temporarily unavailable)\nepoll_ctl(4, EPOLL_CTL_MOD, 9, {EPOLLIN|EPOLLOUT, {u32=9, u64=9}}) = 0\nepoll_wait(4, [{EPOLLOUT, {u32=9, u64=9}}], 64, -1) = 1\nwrite(9, \"x\"..., 4096) = 4096\nepoll_ctl(4, EPOLL_CTL_MOD, 9, {EPOLLIN, {u32=9, u64=9}}) = 0\n") + "epoll_wait(4,  <unfinished ...>\n",
		"EPOLLONESHOT armed anew":                  "epoll_ctl(5, EPOLL_CTL_ADD, 6, {EPOLLIN|EPOLLONESHOT, {u32=6, u64=6}}) = 0\n" + rep(9, "epoll_wait(5, [{EPOLLIN, {u32=6, u64=6}}], 10, -1) = 1\nread(6, \"x\", 10) = 1\nepoll_ctl(5, EPOLL_CTL_MOD, 6, {EPOLLIN|EPOLLONESHOT, {u32=6, u64=6}}) = 0\n") + "epoll_wait(5,  <unfinished ...>\n",
		"EPOLLET, a short read":                    "epoll_ctl(5, EPOLL_CTL_ADD, 6, {EPOLLIN|EPOLLET, {u32=6, u64=6}}) = 0\nepoll_wait(5, [{EPOLLIN, {u32=6, u64=6}}], 10, -1) = 1\nread(6, \"x\", 4096) = 78\nepoll_wait(5,  <unfinished ...>\n",
		"a timer that says at once":                "clock_gettime(CLOCK_MONOTONIC, {tv_sec=100, tv_nsec=0}) = 0\n" + rep(9, "timerfd_settime(7, TFD_TIMER_ABSTIME, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=0, tv_nsec=1}}, NULL) = 0\nread(7, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"),
		"datagrams of no bytes":                    "socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP) = 9\n" + rep(9, "poll([{fd=9, events=POLLIN}], 1, -1) = 1 ([{fd=9, revents=POLLIN}])\nrecvfrom(9, \"\", 4096, 0, NULL, NULL) = 0\n"),
		"woken by another thread":                  rep(9, "8 write(5, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n7 poll([{fd=5, events=POLLIN}], 1, -1) = 1 ([{fd=5, revents=POLLIN}])\n7 read(5, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"),
		"lines of several logs in one":             rep(5, "poll([{fd=5, events=POLLIN}], 1, -1) = 1 ([{fd=5, revents=POLLIN}])\n[pid 9] getpid() = 9\n10:00:00.123456 poll([{fd=5, events=POLLIN}], 1, -1) = 1 ([{fd=5, revents=POLLIN}])\n"),
		"a kernel with the fix, and no time-out":   "uname({sysname=\"Linux\", nodename=\"n\", release=\"6.14.9-arch1-1\", version=\"x\", machine=\"x86_64\"}) = 0\nepoll_wait(4,  <unfinished ...>\n",
		"the eventfd of a thread that is not seen": "eventfd2(0, EFD_CLOEXEC) = 5\nread(9, \"x\", 1) = 1\nclone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD}, 88) = 4242\nwrite(5, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\nclose(5) = 0\nexit_group(0) = ?\n",
	} {
		got := codesFound(t, log, "")
		got = slices.DeleteFunc(got, func(c string) bool { return c == "refused-file" })
		if len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestClosedTwice: a second close is a finding at the end of the log too, and a
// loop that closes one number after the other is none.
func TestClosedTwice(t *testing.T) {
	const twice = "7 close(3) = 0\n7 close(3) = -1 EBADF (Bad file descriptor)\n"
	for name, after := range map[string]string{
		"the log ends":           "",
		"another call":           "7 getpid() = 7\n",
		"another thread's call":  "8 getpid() = 7\n",
		"the thread ends":        "7 +++ exited with 0 +++\n",
		"its last call does not": "7 poll([{fd=4, events=POLLIN}], 1, -1 <unfinished ...>\n",
	} {
		found := diagnosed(t, twice+after, "")
		found = slices.DeleteFunc(found, func(w *Warning) bool { return w.Code == "waits-for" })
		if len(found) != 1 || found[0].Code != "closed-by-other" || !slices.Equal(found[0].Lines, []int{1, 2}) {
			t.Errorf("%s: %v", name, found)
		}
	}
	if found := diagnosed(t, twice+"7 close(4) = -1 EBADF (Bad file descriptor)\n7 close(5) = 0\n", ""); len(found) != 0 {
		t.Errorf("a loop over all numbers: %v", found)
	}
}

// TestNvalOnce: one answer of POLLNVAL ends a wait, and may be how a program
// learns of it. The second is a finding.
func TestNvalOnce(t *testing.T) {
	const poll = "7 poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLNVAL}])\n"
	for n, want := range []int{0, 0, 1, 1} {
		if found := diagnosed(t, "7 close(3) = 0\n"+strings.Repeat(poll, n), ""); len(found) != want || want > 0 && found[0].Code != "nval" {
			t.Errorf("%d times: %v, want %d", n, found, want)
		}
	}
}
