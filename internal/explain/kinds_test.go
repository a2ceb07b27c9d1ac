//go:build linux

package explain

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// TestKindsFromUse: a call that only one kind of file takes proves what a
// descriptor from before the log is.
func TestKindsFromUse(t *testing.T) {
	const poll = "poll([{fd=26, events=POLLIN}], 1, 0) = 0 (Timeout)\n"
	for _, c := range []struct{ log, want string }{
		{"timerfd_settime(26, 0, {it_interval={tv_sec=0, tv_nsec=0}, it_value={tv_sec=1, tv_nsec=0}}, NULL) = 0\n", "timerfd 26"},
		{"inotify_add_watch(26, \"/etc\", IN_MODIFY) = 1\n", "inotify 26"},
		{"accept4(26, NULL, NULL, SOCK_CLOEXEC) = 9\n", "socket 26"},
		{"7 accept4(26,  <unfinished ...>\n7 <... accept4 resumed>NULL, NULL, SOCK_CLOEXEC) = 9\n", "socket 26"},
		{"recvfrom(26, \"x\", 10, 0, NULL, NULL) = 1\n", "socket 26"},
		{"connect(26, {sa_family=AF_UNIX, sun_path=\"/run/x\"}, 110) = 0\n", "unix socket 26"},
		{"signalfd4(26, [USR1], 8, 0) = 26\n", "signalfd 26"},
		{"io_uring_enter(26, 1, 0, 0, NULL, 8) = 1\n", "io_uring 26"},
		{"pidfd_send_signal(26, SIGTERM, NULL, 0) = 0\n", "pidfd 26"},
		{"recvfrom(26, 0x7f, 10, 0, NULL, NULL) = -1 ENOTSOCK (Socket operation on non-socket)\n", "fd 26"},
		{"eventfd2(0, 0) = 26\ntimerfd_settime(26, 0, {}, NULL) = 0\n", "timerfd 26"},
		{"socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 26\nrecvfrom(26, \"x\", 10, 0, NULL, NULL) = 1\n", "TCP socket 26"},
		{"recvfrom(<... resuming) = 1\n", "fd 26"},
	} {
		if got := lastSentence(t, c.log+poll); !strings.HasPrefix(got, "looks at "+c.want+" (POLLIN)") {
			t.Errorf("%s got %q, want %s", c.log, got, c.want)
		}
	}
}

// TestEventfdFromUse: 8 bytes that are the sum of what was written before come
// from an eventfd, and from nothing else that was written to.
func TestEventfdFromUse(t *testing.T) {
	write := func(v string) string { return "write(15, \"\\" + v + "\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n" }
	read := func(v, size string) string {
		return "read(15, \"\\" + v + "\\0\\0\\0\\0\\0\\0\\0\", " + size + ") = 8\n"
	}
	for name, log := range map[string]string{
		"six":     strings.Repeat(write("1"), 6) + read("6", "16"),
		"two":     write("1") + write("2") + read("3", "8"),
		"a round": write("1") + read("1", "16") + write("1") + write("1") + read("2", "16"),
	} {
		if got := lastSentence(t, log); !strings.Contains(got, "off the counter of eventfd 15") {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for name, log := range map[string]string{
		"an echo":             write("1") + read("1", "16"),
		"a pipe's first half": write("1") + write("1") + read("1", "8"),
		"not all was 8 bytes": "write(15, \"x\", 1) = 1\n" + write("1") + write("1") + read("2", "16"),
		"nothing was written": read("2", "16"),
	} {
		if got := sentences(t, log); len(got) > 0 {
			t.Errorf("%s: says %q", name, got)
		}
	}
}

// TestLengthsOfPictures: only a log that gives lengths has some, and a wait that
// timed out has the length of its time-out at least.
func TestLengthsOfPictures(t *testing.T) {
	const wait = "poll([{fd=3, events=POLLIN}], 1, 9600) = 0 (Timeout)"
	for _, c := range []struct {
		log  string
		want int64
	}{
		{wait + "\n", 0},
		{"14:54:09.000000 " + wait + "\n14:54:18.700000 getpid() = 7\n", 9_600_000_000},
		{wait + " <9.700000>\n", 9_700_000_000},
		{"14:54:09.000000 " + wait + " <9.700000>\n", 9_700_000_000},
	} {
		x := New()
		tl, err := Timeline(strace.NewReader(strings.NewReader(c.log), 0), x, Options{FD: -1}, "x", "6.18")
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Lengths; got > 0 != (c.want > 0) {
			t.Errorf("%s has %d lengths", c.log, got)
		}
		if got := tl.Calls[0].End - tl.Calls[0].Start; c.want > 0 && got != c.want {
			t.Errorf("%s is %d ns long, want %d", c.log, got, c.want)
		}
	}
}
