//go:build linux

package explain

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

func warnings(t *testing.T, log string) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(text(t, log, Options{FD: -1})) {
		s, ok := strings.CutPrefix(line, mark+"warning: ")
		if !ok {
			s, ok = strings.CutPrefix(line, mark+found)
			ok = ok && !strings.HasPrefix(s, "waits-for") && !slices.ContainsFunc(out, func(w string) bool { return w[:min(len(w), 24)] == s[:min(len(s), 24)] })
		}
		if ok {
			out = append(out, strings.TrimSuffix(s, "\n"))
		}
	}
	return out
}

// A program that makes each of the mistakes once.
func TestMistakes(t *testing.T) {
	testenv.Tree(t, "../../testdata/strace")
	in, err := os.ReadFile("../../testdata/strace/programs/mistakes-fyytt.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := warnings(t, string(in))
	want := []string{
		"spin-unread: epoll 4 found eventfd 3 ready with EPOLLIN 8 times in a row in 6.508 ms",
		"nval: fd 5 was closed at line 26 by thread 12137 and is waited for 2 times",
		"eagain-spin: read of eventfd 5 answers EAGAIN 8 times in a row",
		"registration-left: eventfd 6 is closed at line 46, but its registration in epoll 4 (line 44) stays",
		"closed-by-other: EPOLL_CTL_DEL of fd 6 in epoll 4 answers EBADF, though it was put in at line 44: it was closed at line 46 by the same thread",
		"never-read: eventfd 3 was written once and never read",
		"never-read: eventfd 7 was written once and never read",
	}
	if len(got) != len(want) {
		t.Errorf("%d warnings, want %d: %q", len(got), len(want), got)
	}
	for i := range min(len(got), len(want)) {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("warning %q, want %q", got[i], want[i])
		}
	}
}

// What looks like a mistake and is none.
func TestNoFalseWarnings(t *testing.T) {
	loop := func(n int, lines string) string { return strings.Repeat(lines, n) }
	const make3 = "eventfd2(0, EFD_CLOEXEC|EFD_NONBLOCK) = 3\nepoll_create1(0) = 4\n"
	for name, log := range map[string]string{
		"edge-triggered and never read": make3 + "epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN|EPOLLET, data=0x3}) = 0\n" +
			loop(20, "write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\nepoll_wait(4, [{events=EPOLLIN, data=0x3}], 8, -1) = 1\n") + "read(0, \"\", 1) = 0\nclose(3) = 0\n",
		"read each time": make3 + "epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x3}) = 0\n" +
			loop(20, "epoll_wait(4, [{events=EPOLLIN, data=0x3}], 8, -1) = 1\nread(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"),
		"EAGAIN, polled each time":                 make3 + loop(20, "read(3, 0x7f, 8) = -1 EAGAIN (Resource temporarily unavailable)\npoll([{fd=3, events=POLLIN}], 1, 5) = 0 (Timeout)\n"),
		"closed, and the number opened again":      make3 + "close(3) = 0\nsocket(AF_INET, SOCK_STREAM, 0) = 3\npoll([{fd=3, events=POLLIN}], 1, 5) = 0 (Timeout)\n",
		"closed, and reopened unseen":              make3 + "close(3) = 0\npoll([{fd=3, events=POLLIN}], 1, 5) = 0 (Timeout)\n",
		"written never read, reads not in the log": make3 + "write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\nclose(3) = 0\n",
		"read by readv":                            make3 + "write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\nreadv(3, [{iov_base=\"\\1\\0\\0\\0\", iov_len=4}, {iov_base=\"\\0\\0\\0\\0\", iov_len=4}], 2) = 8\nclose(3) = 0\n",
		"written never read, read by io_uring":     make3 + "io_uring_register(5, IORING_REGISTER_EVENTFD, [3], 1) = 0\nwrite(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\nread(0, \"\", 1) = 0\nclose(3) = 0\n",
		"deleted before the close of a duplicate":  make3 + "epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x3}) = 0\ndup(3) = 5\nepoll_ctl(4, EPOLL_CTL_DEL, 3, NULL) = 0\nclose(3) = 0\n",
		"the parent closes what its child waits for": "7 socket(AF_INET, SOCK_STREAM, 0) = 3\n7 clone(child_stack=NULL, flags=SIGCHLD) = 8\n8 epoll_create1(0) = 4\n" +
			"8 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x3}) = 0\n7 close(3) = 0\n",
		"a child that had it ended": "7 socket(AF_INET, SOCK_STREAM, 0) = 3\n7 epoll_create1(0) = 4\n7 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x3}) = 0\n" +
			"7 fork() = 8\n8 +++ exited with 0 +++\n7 close(3) = 0\n",
		"a child gave it away by execve": "7 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3\n7 epoll_create1(0) = 4\n7 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x3}) = 0\n" +
			"7 fork() = 8\n8 execve(\"/bin/true\", [\"true\"], 0x7f) = 0\n7 close(3) = 0\n",
		"the duplicate is closed, the original not": make3 + "epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x3}) = 0\ndup(3) = 5\nclose(5) = 0\n",
	} {
		if got := warnings(t, log); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Memory stays bounded, what is oldest goes first, and it is said.
func TestBounds(t *testing.T) {
	var b strings.Builder
	for i := range 40000 {
		pid := itoa(100000 + i)
		b.WriteString(pid + "  eventfd2(0, 0) = " + itoa(3+i) + "\n" + pid + "  read(9,  <unfinished ...>\n")
	}
	got := text(t, b.String(), Options{FD: -1})
	for _, what := range []string{"first halves of calls were let go", "descriptors were let go", "threads were let go"} {
		if !strings.Contains(got, what) {
			t.Errorf("nothing says that %s", what)
		}
	}
}
