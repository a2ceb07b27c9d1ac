//go:build linux

package explain

import (
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

// treeOf are the lines of the tree below the last call of a log.
func treeOf(t *testing.T, log string) string {
	t.Helper()
	out := text(t, log, Options{FD: -1, Paths: on618})
	last := log[strings.LastIndexByte(strings.TrimSuffix(log, "\n"), '\n')+1:]
	_, tree, ok := strings.Cut(out, last)
	if !ok {
		t.Fatalf("%q is not in\n%s", last, out)
	}
	return tree
}

// A file is asked through its own poll operation, as far as the log shows what
// it is: by the call that made it, by -y and -yy, through dup and fork.
func TestPollOperations(t *testing.T) {
	const in = ", events=POLLIN}], 1, 0) = 0 (Timeout)\n"
	for _, c := range []struct{ name, log, want string }{
		{"eventfd", "eventfd2(0, 0) = 5\npoll([{fd=5" + in, "eventfd_poll"},
		{"socketpair", "socketpair(AF_UNIX, SOCK_STREAM, 0, [5, 6]) = 0\npoll([{fd=6" + in, "sock_poll"},
		{"epoll and socketpair", "socketpair(AF_UNIX, SOCK_STREAM, 0, [5, 6]) = 0\nepoll_create1(0) = 7\nepoll_ctl(7, EPOLL_CTL_ADD, 6, {events=EPOLLIN, data=0x6}) = 0\n", "sock_poll"},
		{"TCP", "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 5\npoll([{fd=5" + in, "tcp_poll"},
		{"MPTCP", "socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP) = 5\npoll([{fd=5" + in, "mptcp_poll"},
		{"SCTP", "socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP) = 5\npoll([{fd=5" + in, "sock_poll"},
		{"accepted", "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 5\naccept4(5, NULL, NULL, 0) = 6\npoll([{fd=6" + in, "tcp_poll"},
		{"UDP", "socket(AF_INET6, SOCK_DGRAM|SOCK_CLOEXEC, IPPROTO_IP) = 5\npoll([{fd=5" + in, "udp_poll"},
		{"pipe", "pipe2([5, 6], O_CLOEXEC) = 0\npoll([{fd=5" + in, "pipe_poll"},
		{"timerfd", "timerfd_create(CLOCK_MONOTONIC, 0) = 5\npoll([{fd=5" + in, "timerfd_poll"},
		{"signalfd", "signalfd4(-1, [USR1], 8, 0) = 5\npoll([{fd=5" + in, "signalfd_poll"},
		{"inotify", "inotify_init1(0) = 5\npoll([{fd=5" + in, "inotify_poll"},
		{"pidfd", "pidfd_open(77, 0) = 5\npoll([{fd=5" + in, "pidfd_poll"},
		{"terminal", "openat(AT_FDCWD, \"/dev/pts/0\", O_RDWR) = 5\npoll([{fd=5" + in, "tty_poll"},
		{"epoll in poll", "epoll_create1(0) = 5\npoll([{fd=5" + in, "ep_eventpoll_poll"},
		{"-yy", "poll([{fd=5<TCP:[127.0.0.1:5->127.0.0.1:6]>" + in, "tcp_poll"},
		{"-y", "poll([{fd=5<pipe:[77]>" + in, "pipe_poll"},
		{"dup", "pipe2([5, 6], 0) = 0\ndup(5) = 9\npoll([{fd=9" + in, "pipe_poll"},
		{"fork", "7 pipe2([5, 6], 0) = 0\n7 clone(child_stack=NULL, flags=SIGCHLD) = 8\n8 poll([{fd=5" + in, "pipe_poll"},
		{"select", "pipe2([5, 6], 0) = 0\nselect(6, [5], NULL, NULL, {tv_sec=0, tv_usec=0}) = 0 (Timeout)\n", "pipe_poll"},
		{"unknown", "poll([{fd=5" + in, "file->f_op->poll"},
		{"SCM_RIGHTS", "recvmsg(3, {msg_name=NULL, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[5]}]}, 0) = 1\npoll([{fd=5" + in, "file->f_op->poll"},
		{"unix", "socketpair(AF_UNIX, SOCK_STREAM, 0, [5, 6]) = 0\npoll([{fd=6" + in, "unix_poll"},
		{"null", "openat(AT_FDCWD, \"/dev/null\", O_RDWR) = 5\npoll([{fd=5" + in, "DEFAULT_POLLMASK"},
		{"null by -yy", "poll([{fd=5</dev/null<char 1:3>>" + in, "DEFAULT_POLLMASK"},
		{"directory", "openat(AT_FDCWD, \"/etc\", O_RDONLY|O_DIRECTORY) = 5\npoll([{fd=5" + in, "DEFAULT_POLLMASK"},
		{"a file", "openat(AT_FDCWD, \"/proc/sys/net/core/somaxconn\", O_RDONLY) = 5\npoll([{fd=5" + in, "file->f_op->poll"},
	} {
		tree := treeOf(t, c.log)
		if !strings.Contains(tree, "  "+c.want) {
			t.Errorf("%s: no %s in\n%s", c.name, c.want, tree)
		}
		if c.want != "eventfd_poll" && strings.Contains(tree, "eventfd") {
			t.Errorf("%s: an eventfd in\n%s", c.name, tree)
		}
	}
	both := treeOf(t, "eventfd2(0, 0) = 5\npipe2([6, 7], 0) = 0\npoll([{fd=5, events=POLLIN}, {fd=6, events=POLLIN}], 2, 0) = 0 (Timeout)\n")
	if !strings.Contains(both, "eventfd_poll") || !strings.Contains(both, "pipe_poll") {
		t.Errorf("an eventfd and a pipe:\n%s", both)
	}
}

// What the log says of a descriptor later does not change what it was made as.
func TestKindsFromTheStart(t *testing.T) {
	testenv.Tree(t, "../../testdata/strace")
	log, err := os.ReadFile("../../testdata/strace/programs/go-net-fyy.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := text(t, string(log), Options{FD: -1, Paths: on618})
	for _, want := range []string{"puts MPTCP socket 5 into", "puts file 6 (/proc/sys/net/core/somaxconn) into", "takes file 6 (/proc/sys/net/core/somaxconn) out", "puts TCP socket 6 into", "puts TCP socket 9 into"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	got := sentences(t, "socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 6<socket:[5]>\nepoll_create1(0) = 7<anon_inode:[eventpoll]>\n"+
		"epoll_ctl(7<anon_inode:[eventpoll]>, EPOLL_CTL_ADD, 6<socket:[5]>, {events=EPOLLIN, data=0x6}) = 0\n")
	if last := got[len(got)-1]; !strings.HasPrefix(last, "puts TCP socket 6 into epoll 7") {
		t.Errorf("got %q", last)
	}
}

// A call that failed prints no function that it did not come to.
func TestFailedCallsText(t *testing.T) {
	for log, never := range map[string]string{
		"epoll_ctl(4, EPOLL_CTL_DEL, 77) = -1 EBADF (Bad file descriptor)\n":                                      "copy_from_user file_can_poll ep_find ep_remove ep_unregister_pollwait remove_wait_queue",
		"epoll_ctl(4, EPOLL_CTL_DEL, 77) = 0\n":                                                                   "copy_from_user",
		"read(3<anon_inode:[eventfd]>, 0x7ff, 8) = -1 EAGAIN (Resource temporarily unavailable)\n":                "eventfd_ctx_do_read copy_to_iter wake_up_locked_poll",
		"poll(NULL, 1073741824, 0) = -1 EINVAL (Invalid argument)\n":                                              "do_poll __pollwait vfs_poll copy_from_user unsafe_put_user",
		"poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLNVAL}]) <0.000010>\n":                      "vfs_poll poll_get_entry free_poll_entry",
		"select(4, [3], NULL, NULL, NULL) = -1 EBADF (Bad file descriptor)\n":                                     "poll_initwait vfs_poll set_fd_set",
		"epoll_wait(4, 0x7ff, 0, -1) = -1 EINVAL (Invalid argument)\n":                                            "ep_poll ep_send_events",
		"ppoll([{fd=3, events=POLLIN}], 1, {tv_sec=0, tv_nsec=1000000000}, NULL, 8) = -1 EINVAL (Invalid arg.)\n": "do_sys_poll",
	} {
		tree := treeOf(t, log)
		if !strings.Contains(tree, "on Linux 6.18") {
			t.Errorf("%s: no tree in\n%s", log, tree)
		}
		for _, f := range strings.Fields(never) {
			if strings.Contains(tree, " "+f+" ") || strings.Contains(tree, " "+f+"\n") {
				t.Errorf("%s: %s was not reached, and is in\n%s", log, f, tree)
			}
		}
	}
}
