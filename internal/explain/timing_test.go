//go:build linux

package explain

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// lastSentence is what is said of the last line of a log that something is
// said of.
func lastSentence(t *testing.T, log string) string {
	t.Helper()
	got := sentences(t, log)
	if len(got) == 0 {
		return ""
	}
	return got[len(got)-1]
}

// TestLengths: the length of a call is what -T, the two halves, the time left
// and the next line prove, and no more.
func TestLengths(t *testing.T) {
	const ready = "= 1 ([{fd=3, revents=POLLIN}])"
	const wait = "poll([{fd=3, events=POLLIN}], 1, 1500"
	for _, c := range []struct{ name, log, want string }{
		{"-T, short", wait + ") " + ready + " <0.000038>\n", "3 POLLIN; takes 38 µs [poll: registered]"},
		{"-T, long", wait + ") " + ready + " <0.046000>\n", "3 POLLIN; takes 46 ms [poll: registered]"},
		{"no times", wait + ") " + ready + "\n", "3 POLLIN [poll: registered]"},
		{"-t, the same second", "9 10:26:49 " + wait + " <unfinished ...>\n8 10:26:49 getpid() = 8\n9 10:26:49 <... poll resumed>) " + ready + "\n", "; takes less than 1 s"},
		{"-t, the next second", "9 10:26:47 " + wait + " <unfinished ...>\n8 10:26:47 getpid() = 8\n9 10:26:48 <... poll resumed>) " + ready + "\n", "; takes less than 2 s"},
		{"-t, five seconds", "9 10:26:47 " + wait + " <unfinished ...>\n8 10:26:47 getpid() = 8\n9 10:26:52 <... poll resumed>) " + ready + "\n", "; takes 4 s to 6 s"},
		{"-tt, halves", "9 23:59:59.900000 " + wait + " <unfinished ...>\n8 10:26:47.000000 getpid() = 8\n9 00:00:00.100000 <... poll resumed>) " + ready + "\n", "; takes 200 ms"},
		{"-r, halves", "9 0.000100 " + wait + " <unfinished ...>\n8 0.000200 getpid() = 8\n9 0.500000 <... poll resumed>) " + ready + "\n", "; takes 500.201 ms"},
		{"-tt, the next line", "14:54:09.596398 " + wait + ") " + ready + "\n14:54:09.596460 getpid() = 8\n", "; takes at most 62 µs"},
		{"-ttt, the next line", "1700000009.596398 " + wait + ") " + ready + "\n1700000009.596460 getpid() = 8\n", "; takes at most 62 µs"},
		{"-r, the next line", "     0.000010 " + wait + ") " + ready + "\n     0.000062 getpid() = 8\n", "; takes at most 62 µs"},
		{"-t, the next line", "14:54:09 " + wait + ") " + ready + "\n14:54:09 getpid() = 8\n", "; takes less than 1 s"},
		{"the next line of another thread, in order", "7 14:54:08.000000 read(0,  <unfinished ...>\n9 14:54:09.596398 " + wait + ") " + ready + "\n8 14:54:09.596460 getpid() = 8\n", "; takes at most 62 µs"},
		{"the next line of another thread, merged", "9 14:54:09.596398 " + wait + ") " + ready + "\n8 14:54:09.596460 getpid() = 8\n", "3 POLLIN [poll: registered]"},
		{"the last line", "14:54:09.596398 " + wait + ") " + ready + "\n", "3 POLLIN [poll: registered]"},
		{"time left", "select(4, [3], NULL, NULL, {tv_sec=5, tv_usec=0}) = 1 (in [3], left {tv_sec=4, tv_usec=999962})\n", "; takes 38 µs"},
		{"rounded", wait + ") " + ready + " <1.825627>\n", "; takes 1.826 s"},
		{"rounded up to a second", wait + ") " + ready + " <0.999999900>\n", "; takes 1 s"},
		{"a signal", "epoll_wait(5, 0x7ff, 4, -1) = -1 EINTR (Interrupted system call) <1.000000>\n", "; a signal ends the wait (EINTR); takes 1 s"},
		{"no time, no look", "select(4, [3], NULL, NULL, 0x7ffe) = 0 (Timeout)\n", "waits for fd 3 (read): nothing ready [select: registered]"},
		{"cut line end", "poll([{fd=3, events=POLLIN}], 1, 1000\r) = 0 (Timeout)\n", "waits for fd 3 (POLLIN), at most 1 s; sleeps until the time is up [poll, timeout: slept, timed-out, registered]"},

		{"0 without a time-out", "epoll_wait(3, {}, 64, -1) = 0\n", ": nothing ready; returns 0, which a call without a time-out never does: this cannot be the time-out"},
		{"long with a time-out of 0", "9 epoll_wait(3,  <unfinished ...>\n9 <... epoll_wait resumed> {}, 32, 0) = 0 <1.537540>\n", ": nothing ready; returns at once by its time-out of 0, and yet takes 1.538 s"},
		{"a time-out of days", "epoll_wait(3, {}, 32, 758611120) = 0 <5.000088>\n", "sleeps until the time is up, after 5 s: this cannot be the time-out"},
		{"a time-out of days, by the next line", "14:54:09.000000 epoll_wait(3, {}, 32, 758611120) = 0\n14:54:14.000000 getpid() = 8\n", "the time is up, after at most 5 s: this cannot be the time-out"},
		{"delayed by strace", "epoll_wait(3, {}, 32, 100) = 0 <5.000088>\n", "sleeps until the time is up, and takes 5 s"},
		{"as it should be", "epoll_wait(3, {}, 32, 1000) = 0 <1.000088>\n", "sleeps until the time is up [epoll_wait"},
		{"injected", "epoll_wait(3, {}, 32, 1000) = 0 (INJECTED) <0.000088>\n", "the kernel did not run the call"},
	} {
		got := lastSentence(t, c.log)
		if !strings.Contains(got+"\n", c.want) {
			t.Errorf("%s\n%s got %q\nwant %q", c.name, c.log, got, c.want)
		}
	}
}

// TestNoSleepFromTimes: no length of a call alone makes it one that slept, or
// one that did not.
func TestNoSleepFromTimes(t *testing.T) {
	for _, took := range []string{"0.000001", "0.000099", "0.010001", "46.000000"} {
		log := "eventfd2(0, EFD_CLOEXEC) = 3 <0.000010>\npoll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}]) <" + took + ">\n" +
			"epoll_wait(4, [{events=EPOLLIN, data={u32=3, u64=3}}], 8, -1) = 1 <" + took + ">\nepoll_wait(4, 0x7f, 8, -1) = -1 EINTR (Interrupted system call) <" + took + ">\n" +
			"read(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8 <" + took + ">\n"
		for _, s := range sentences(t, log)[1:] {
			if strings.Contains(s, "sleep") || strings.Contains(s, "slept") || strings.Contains(s, "at once") {
				t.Errorf("<%s>: %s", took, s)
			}
		}
	}
}

// TestLengthsInJSON: the objects have the whole sentence too, and each is one
// line.
func TestLengthsInJSON(t *testing.T) {
	const log = "14:54:09.596398 epoll_wait(7, [{EPOLLOUT, {u32=80, u64=80}}], 200, 1000) = 1\n14:54:09.596460 epoll_wait(7, [], 200, 1000) = 0\n"
	var b bytes.Buffer
	if err := JSON(&b, strace.NewReader(strings.NewReader(log), 0), New(), Options{FD: -1}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		var o struct{ Summary string }
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		got = append(got, o.Summary)
	}
	if len(got) != 2 || !strings.HasSuffix(got[0], "; takes at most 62 µs") || !strings.HasSuffix(got[1], "; sleeps until the time is up") {
		t.Errorf("got %q", got)
	}
}
