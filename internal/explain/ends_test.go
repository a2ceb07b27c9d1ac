//go:build linux

package explain

import (
	"strings"
	"testing"
)

// foundIn are the findings at the end of a log, without what helps.
func foundIn(t *testing.T, log string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(text(t, log, Options{FD: -1})) {
		if s, ok := strings.CutPrefix(line, mark+found); ok {
			for _, c := range codes {
				s = strings.Replace(s, "; "+c.remedy+"\n", "\n", 1)
			}
			out.WriteString(s)
		}
	}
	return out.String()
}

// A thread that a signal kills in a wait waits no longer, and its descriptors
// were open until then.
func TestKilledInWait(t *testing.T) {
	const fork = "7 pipe2([3, 4], 0) = 0\n7 fork() = 8\n"
	for name, c := range map[string]struct{ log, want string }{
		"read": {fork + "8 read(3, 0x7ff, 4) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n" +
			"8 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=7, si_uid=0} ---\n8 +++ killed by SIGTERM +++\n7 exit_group(0) = ?\n7 +++ exited with 0 +++\n",
			"waits-for: thread 8 was in read (line 3), for pipe 3, whose other end is fd 4 of the same process (while that is open, the end of the file does not come), when SIGTERM killed it (line 5)\n"},
		"no other end": {fork + "8 close(4) = 0\n8 read(3,  <unfinished ...>\n",
			"waits-for: thread 8 is in read (line 4), for pipe 3\n"},
		"a signal ends it": {fork + "8 epoll_create1(0) = 5\n8 epoll_wait(5,  <unfinished ...>\n8 <... epoll_wait resumed>0x7f, 1, -1) = -1 EINTR (Interrupted system call)\n" +
			"8 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=7, si_uid=0} ---\n8 +++ killed by SIGTERM +++\n7 exit_group(0) = ?\n7 +++ exited with 0 +++\n",
			"waits-for: thread 8 was in epoll_wait (line 4) on epoll 5: nothing is registered in it, only a signal or the time-out ends it, when SIGTERM killed it (line 7)\n"},
		"another kills it later": {fork + "8 epoll_create1(0) = 5\n8 epoll_wait(5, 0x7f, 1, -1) = -1 EINTR (Interrupted system call)\n" +
			"8 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n8 +++ killed by SIGKILL +++\n7 exit_group(0) = ?\n7 +++ exited with 0 +++\n", ""},
		"it goes on": {fork + "8 epoll_create1(0) = 5\n8 epoll_wait(5, 0x7f, 1, -1) = -1 EINTR (Interrupted system call)\n8 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n", ""},
		"epoll": {fork + "8 epoll_create1(0) = 5\n8 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = 0\n" +
			"8 epoll_wait(5,  <unfinished ...>\n8 +++ killed by SIGABRT (core dumped) +++\n7 exit_group(0) = ?\n7 +++ exited with 0 +++\n",
			"waits-for: thread 8 was in epoll_wait (line 5) on epoll 5, for pipe 3 (EPOLLIN), when SIGABRT killed it (line 6)\n"},
		"edge": {"7 pipe2([3, 4], 0) = 0\n7 close(9) = 0\n7 epoll_create1(0) = 5\n7 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN|EPOLLET, data={u32=3, u64=3}}) = 0\n" +
			"7 fork() = 8\n7 epoll_wait(5, [{EPOLLIN, {u32=3, u64=3}}], 10, -1) = 1\n7 read(3, \"xxxx\", 4) = 4\n" +
			"7 epoll_wait(5,  <unfinished ...>\n7 +++ killed by SIGINT +++\n8 exit_group(0) = ?\n8 +++ exited with 0 +++\n",
			"lost-edge: pipe 3 is registered with EPOLLET, and the read of line 7 got all of the 4 bytes that it asked for: what may be left makes no further event; the epoll_wait of line 8 does not return (lines 7, 8)\n" +
				"waits-for: thread 7 was in epoll_wait (line 8) on epoll 5, for pipe 3 (EPOLLIN|EPOLLET), last read at line 7 (4 bytes), when SIGINT killed it (line 9)\n"},
	} {
		if got := foundIn(t, c.log); got != c.want {
			t.Errorf("%s:\n%swant\n%s", name, got, c.want)
		}
	}
}

// A log of accepts alone does not say whether a connection is there.
func TestNoRoomUnasked(t *testing.T) {
	const full = "accept4(6, NULL, NULL, SOCK_CLOEXEC) = -1 EMFILE (Too many open files)\n"
	const ready = "the listener stays readable"
	if got := foundIn(t, rep(4, full)); !strings.HasPrefix(got, "accept-emfile: ") || strings.Contains(got, ready) {
		t.Error("accept alone:", got)
	}
	if got := foundIn(t, rep(4, "epoll_wait(3, [{EPOLLIN, {u32=6, u64=6}}], 64, -1) = 1\n"+full)); !strings.Contains(got, ready) {
		t.Error("accept after a wait:", got)
	}
}

// The first line of a thread may stand before the end of the clone that made
// it, or after the close of an eventfd: it is traced.
func TestLinesBeforeBirth(t *testing.T) {
	const made = "7 eventfd2(0, EFD_NONBLOCK) = 3\n7 read(3, 0x7ff, 8) = -1 EAGAIN (Resource temporarily unavailable)\n" +
		"7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD <unfinished ...>\n"
	const used = "7 <... clone resumed>) = 8\n7 write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n7 close(3) = 0\n"
	for name, c := range map[string]struct{ before, after, want string }{
		"a whole line":  {"8 gettid() = 8\n", "", "never-read: "},
		"a first half":  {"8 nanosleep({tv_sec=0, tv_nsec=20000},  <unfinished ...>\n", "", "never-read: "},
		"a line later":  {"", "8 gettid() = 8\n", "never-read: "},
		"its end later": {"", "8 +++ exited with 0 +++\n", "never-read: "},
		"no line of it": {"", "", ""},
	} {
		if got := foundIn(t, made+c.before+used+c.after); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The i386 and arm calls of a handler's return are named otherwise.
func TestSigreturn(t *testing.T) {
	const wait = "7 poll([{fd=3, events=POLLIN}], 1, 100) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)\n7 --- SIGALRM {si_signo=SIGALRM, si_code=SI_KERNEL} ---\n"
	for _, name := range []string{"sigreturn", "rt_sigreturn"} {
		got := text(t, wait+"7 "+name+"({mask=[]}) = -1 EINTR (Interrupted system call)\n", Options{FD: -1})
		if !strings.Contains(got, "the handler is done: poll of line 1 returns EINTR to the program") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
