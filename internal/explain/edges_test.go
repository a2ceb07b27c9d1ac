//go:build linux

package explain

import (
	"strings"
	"testing"
)

// What a read leaves behind depends on the file: a counter is taken whole, a
// datagram socket gives one message.
func TestEdgeLeft(t *testing.T) {
	edge := func(made, reads string) string {
		return "epoll_create1(0) = 5\n" + made + "epoll_ctl(5, EPOLL_CTL_ADD, 6, {events=EPOLLIN|EPOLLET, data={u32=6, u64=6}}) = 0\n" +
			"epoll_wait(5, [{EPOLLIN, {u32=6, u64=6}}], 10, -1) = 1\n" + reads + "epoll_wait(5,  <unfinished ...>\n"
	}
	const eight = "read(6, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"
	const once = "was read once and not until EAGAIN (line 5)"
	for name, c := range map[string]struct{ log, want string }{
		"an eventfd":              {edge("eventfd2(3, 0) = 6\n", "read(6, \"\\3\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"), ""},
		"a semaphore with more":   {edge("eventfd2(3, EFD_SEMAPHORE) = 6\n", eight), "lost-edge: eventfd 6 is registered with EPOLLET, and " + once},
		"a semaphore at its last": {edge("eventfd2(1, EFD_SEMAPHORE) = 6\n", eight), ""},
		"a timerfd":               {edge("timerfd_create(CLOCK_MONOTONIC, 0) = 6\n", eight), ""},
		"one datagram":            {edge("socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, IPPROTO_IP) = 6\n", "recvfrom(6, \"x\", 64, 0, NULL, NULL) = 1\n"), "lost-edge: UDP socket 6 is registered with EPOLLET, and " + once},
		"one packet":              {edge("socketpair(AF_UNIX, SOCK_SEQPACKET, 0, [6, 7]) = 0\n", "recvmsg(6, {msg_iov=[{iov_base=\"x\", iov_len=64}], msg_iovlen=1}, 0) = 1\n"), "lost-edge: unix socket 6 is registered with EPOLLET, and " + once},
		"all datagrams": {edge("socket(AF_INET, SOCK_DGRAM|SOCK_NONBLOCK, IPPROTO_IP) = 6\n", "recvfrom(6, \"x\", 64, 0, NULL, NULL) = 1\n"+
			"recvfrom(6, 0x7ff, 64, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)\n"), ""},
		"a short read of a stream": {edge("socketpair(AF_UNIX, SOCK_STREAM, 0, [6, 7]) = 0\n", "read(6, \"x\", 64) = 1\n"), ""},
	} {
		got, _, _ := strings.Cut(foundIn(t, c.log), "waits-for: ")
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The advice to ask for less does not end a row of POLLERR and POLLHUP.
func TestOutputWithError(t *testing.T) {
	round := func(mask string) string {
		return rep(9, "poll([{fd=3, events=POLLOUT}], 1, 100) = 1 ([{fd=3, revents="+mask+"}])\n")
	}
	const always = "nothing was written to it; POLLERR|POLLHUP comes whatever is asked, until it is closed or taken out"
	if got := foundIn(t, round("POLLOUT|POLLERR|POLLHUP")); !strings.HasPrefix(got, "spin-output: ") || !strings.Contains(got, always) {
		t.Error("refused:", got)
	}
	if got := foundIn(t, round("POLLOUT")); !strings.HasPrefix(got, "spin-output: ") || strings.Contains(got, "whatever") {
		t.Error("idle:", got)
	}
}

// A second row counts from its beginning.
func TestRowsCounted(t *testing.T) {
	mod := func(data string) string {
		return "epoll_ctl(4, EPOLL_CTL_MOD, 7, {events=EPOLLIN, data={u32=7, u64=" + data + "}}) = 0\nepoll_wait(4, [{EPOLLIN, {u32=7, u64=7}}], 9, -1) = 1\nread(7, \"x\", 9) = 1\n"
	}
	const add = "epoll_ctl(4, EPOLL_CTL_ADD, 7, {events=EPOLLIN, data={u32=7, u64=7}}) = 0\nepoll_wait(4, [], 9, 1) = 0\n"
	const look = "poll([{fd=4, events=POLLIN}], 1, 0) = 0 (Timeout)\n"
	const empty = "read(6, 0x7ff, 8) = -1 EAGAIN (Resource temporarily unavailable)\n"
	const rest = "nanosleep({tv_sec=0, tv_nsec=50000000}, NULL) = 0\n"
	for name, c := range map[string]struct{ log, want string }{
		"MOD":    {add + rep(5, mod("7")) + mod("99") + rep(6, mod("99")), " in 11 rounds"},
		"looks":  {rep(9, look) + rest + rep(10, look), " 19 times in 2 rows"},
		"alone":  {rep(10, look), " 10 times in a row"},
		"few":    {rep(7, look), " 7 times in a row"},
		"EAGAIN": {rep(9, empty) + rest + rep(10, empty), " 19 times in 2 rows"},
	} {
		if got := foundIn(t, c.log); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
