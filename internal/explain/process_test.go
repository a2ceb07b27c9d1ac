//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestDescriptorTables: which descriptor stands for which file, through all that
// makes, shares and ends one.
func TestDescriptorTables(t *testing.T) {
	const add = "\"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"
	const one = "adds 1 to the counter of eventfd "
	const stays = ", which stays open through another descriptor"
	for _, c := range []struct{ name, log, want string }{
		{"dup", "7 eventfd2(0, 0) = 3\n7 dup(3) = 9\n7 write(9, " + add, one + "9"},
		{"dup2 over another", "7 eventfd2(0, 0) = 3\n7 pipe2([4, 5], 0) = 0\n7 dup2(3, 4) = 4\n7 write(4, " + add, one + "4"},
		{"F_DUPFD_CLOEXEC", "7 eventfd2(0, 0) = 3\n7 fcntl(3, F_DUPFD_CLOEXEC, 10) = 10\n7 write(10, " + add, one + "10"},
		{"fork", "7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 write(3, " + add, one + "3"},
		{"vfork, the child first", "7 eventfd2(0, 0) = 3\n7 vfork( <unfinished ...>\n8 write(3, " + add, one + "3"},
		{"a child closes its own", "7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 close(3) = 0\n7 write(3, " + add, one + "3"},
		{"a thread closes for all", "7 eventfd2(0, 0) = 3\n7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 8\n8 close(3) = 0\n7 pipe2([3, 4], 0) = 0\n7 write(3, \"x\", 1) = 1\n8 eventfd2(0, 0) = 5\n7 write(5, " + add, one + "5"},
		{"clone3 with CLONE_FILES", "7 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, child_tid=0x7f}, 88) = 8\n8 eventfd2(0, 0) = 5\n7 write(5, " + add, one + "5"},
		{"unshared", "7 eventfd2(0, 0) = 3\n7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 8\n8 unshare(CLONE_FILES) = 0\n8 close(3) = 0\n7 write(3, " + add, one + "3"},
		{"not unshared", "7 eventfd2(0, 0) = 3\n7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 8\n8 unshare(CLONE_NEWNS) = 0\n8 close(3) = 0\n7 close(3) = -1 EBADF (Bad file descriptor)\n7 eventfd2(0, 0) = 4\n8 write(4, " + add, one + "4"},
		{"through execve", "7 eventfd2(0, 0) = 3\n7 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 write(3, " + add, one + "3"},
		{"through execve, a duplicate", "7 eventfd2(0, EFD_CLOEXEC) = 3\n7 dup(3) = 5\n7 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 write(5, " + add, one + "5"},
		{"FD_CLOEXEC taken off", "7 eventfd2(0, EFD_CLOEXEC) = 3\n7 fcntl(3, F_SETFD, 0) = 0\n7 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 write(3, " + add, one + "3"},
		{"FIONCLEX", "7 eventfd2(0, EFD_CLOEXEC) = 3\n7 ioctl(3, FIONCLEX) = 0\n7 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 write(3, " + add, one + "3"},
		{"the child's execve keeps it", "7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 close(3) = 0\n", "closes eventfd 3" + stays},
		{"the child's execve, and its end", "7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n8 +++ exited with 0 +++\n7 close(3) = 0\n", "closes eventfd 3 [eventfd_release]"},
		{"the child's execve closes it", "7 eventfd2(0, 0) = 3\n7 ioctl(3, FIOCLEX) = 0\n7 fork() = 8\n8 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 close(3) = 0\n", "closes eventfd 3 [eventfd_release]"},
		{"CLOSE_RANGE_CLOEXEC", "7 eventfd2(0, 0) = 3\n7 close_range(3, 4294967295, CLOSE_RANGE_CLOEXEC) = 0\n7 fork() = 8\n8 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 close(3) = 0\n", "closes eventfd 3 [eventfd_release]"},
		{"CLOSE_RANGE_UNSHARE", "7 eventfd2(0, 0) = 3\n7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 8\n8 close_range(3, 3, CLOSE_RANGE_UNSHARE) = 0\n7 write(3, " + add, one + "3"},
		{"sent and received", "7 socketpair(AF_UNIX, SOCK_STREAM, 0, [3, 4]) = 0\n7 eventfd2(0, 0) = 5\n7 sendmsg(3, {msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[5]}]}, 0) = 1\n" +
			"7 recvmsg(4, {msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[6]}]}, 0) = 1\n7 write(6, " + add, one + "6"},
		{"to a child", "7 socketpair(AF_UNIX, SOCK_STREAM, 0, [3, 4]) = 0\n7 fork() = 8\n7 eventfd2(0, 0) = 5\n7 sendmsg(3, {msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[5]}]}, 0) = 1\n" +
			"8 recvmsg(4, {msg_control=[{cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[6]}]}, 0) = 1\n7 close(5) = 0\n", "closes eventfd 5" + stays},
		{"a close in two halves", "7 eventfd2(0, 0) = 3\n7 clone(child_stack=0x7f, flags=CLONE_VM|CLONE_FILES|CLONE_THREAD) = 8\n7 close(3 <unfinished ...>\n8 eventfd2(5, 0) = 3\n7 <... close resumed>) = 0\n8 write(3, " + add, one + "3"},
		{"a registration outlives its number", "7 epoll_create1(0) = 4\n7 eventfd2(0, 0) = 3\n7 dup(3) = 5\n7 epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data=0x63}) = 0\n7 close(3) = 0\n7 epoll_wait(4, [{events=EPOLLIN, data=0x63}], 8, 0) = 1\n", "1 ready, eventfd 3 EPOLLIN"},
	} {
		got := strings.Join(sentences(t, c.log), "\n")
		if !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s got %s\nwant %s", c.name, c.log, got, c.want)
		}
	}
}

// TestOpenUntil: a story says that a descriptor was open until its process ended
// if the log has all of the process, from its execve to its end.
func TestOpenUntil(t *testing.T) {
	const lived = "7 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 eventfd2(0, 0) = 3\n"
	for log, want := range map[string]string{
		lived + "7 +++ exited with 0 +++\n": "made at line 2, open until its process ended\n",
		lived:                               "made at line 2, open at the end\n",
		"7 eventfd2(0, 0) = 3\n7 +++ exited with 0 +++\n": "made at line 1, open at the end\n",
	} {
		if got := text(t, log, Options{FD: -1}); !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", log, got, want)
		}
	}
}

// TestFirstHalves: a first half does not show whether it waits if it lacks the
// time-out, and never whether it returns: that is said at the end, if it did not.
func TestFirstHalves(t *testing.T) {
	const half = "7 epoll_wait(4,  <unfinished ...>\n"
	if got := lastSentence(t, half); got != "calls epoll_wait on epoll 4 [epoll_wait]" {
		t.Errorf("got %q", got)
	}
	const polls = "7 poll([{fd=3, events=POLLIN}], 1, 10 <unfinished ...>\n"
	if got := lastSentence(t, polls); got != "waits for fd 3 (POLLIN), at most 10 ms [poll: registered]" {
		t.Errorf("got %q", got)
	}
	const never = "thread 7 is in epoll_wait (line 1)"
	if got := text(t, half, Options{FD: -1}); !strings.Contains(got, never) {
		t.Errorf("of a call that never returns: %s", got)
	}
	if got := text(t, half+"7 <... epoll_wait resumed>[], 8, 10) = 0\n", Options{FD: -1}); strings.Contains(got, never) || strings.Contains(got, "not returned") {
		t.Errorf("of a call that returns: %s", got)
	}
}

// TestFIONBIO: an ioctl makes an eventfd non-blocking as fcntl does.
func TestFIONBIO(t *testing.T) {
	if got := lastSentence(t, "7 eventfd2(0, 0) = 3\n7 ioctl(3, FIONBIO, [1]) = 0\n7 read(3,  <unfinished ...>\n"); !strings.HasPrefix(got, "wants to take from") {
		t.Errorf("got %q", got)
	}
}

// TestUnknownDescriptors: what the log does not prove is not taken from it.
func TestUnknownDescriptors(t *testing.T) {
	const write = "write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"
	for name, log := range map[string]string{
		"closed by execve":            "7 eventfd2(0, EFD_CLOEXEC) = 3\n7 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 " + write,
		"flags by numbers, by execve": "7 eventfd2(0, 0x80800) = 3\n7 execve(\"/bin/x\", [\"x\"], 0x7f) = 0\n7 " + write,
		"received before it was sent": "7 socketpair(AF_UNIX, SOCK_STREAM, 0, [8, 4]) = 0\n7 eventfd2(0, 0) = 5\n9 recvmsg(4, {msg_control=[{cmsg_type=SCM_RIGHTS, cmsg_data=[6]}]}, 0) = 1\n" +
			"7 sendmsg(8, {msg_control=[{cmsg_type=SCM_RIGHTS, cmsg_data=[5]}]}, 0) = 1\n9 recvmsg(4, {msg_control=[{cmsg_type=SCM_RIGHTS, cmsg_data=[3]}]}, 0) = 1\n9 " + write,
		"another process's": "7 eventfd2(0, 0) = 5\n7 fork() = 8\n7 eventfd2(0, 0) = 3\n8 " + write,
	} {
		for _, s := range sentences(t, log) {
			if strings.Contains(s, "eventfd 3") && strings.Contains(s, "adds") {
				t.Errorf("%s:\n%s says %q", name, log, s)
			}
		}
	}
}
