//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestOtherMachines: a log of another machine gets no path of this one, from its
// first line on, and a word.
func TestOtherMachines(t *testing.T) {
	const poll = "poll([{fd=3, events=POLLIN}], 1, 0) = 0 (Timeout)\n"
	const word = "#: no kernel paths: "
	for name, call := range map[string]string{
		"_newselect":       "_newselect(4, [3], NULL, NULL, {0, 0}) = 0 (Timeout)\n",
		"recv":             "recv(3, \"\", 10, 0) = 0\n",
		"fcntl64":          "fcntl64(3, F_GETFL) = 0x2 (flags O_RDWR)\n",
		"ppoll_time64":     "ppoll_time64([{fd=3, events=POLLIN}], 1, {tv_sec=0, tv_nsec=0}, NULL, 8) = 0 (Timeout)\n",
		"a first half":     "7 clock_gettime64(CLOCK_MONOTONIC,  <unfinished ...>\n",
		"says strace":      "[ Process PID=7 runs in 32 bit mode. ]\n",
		"futex by its end": "7 <... futex_time64 resumed>) = 0\n",
	} {
		for _, log := range []string{call + poll, poll + call} {
			got := text(t, log, Options{FD: -1, Paths: on618})
			if strings.Contains(got, "do_sys_poll") || strings.Contains(got, "on Linux") {
				t.Errorf("%s: a path of x86-64 in\n%s", name, got)
			}
			if strings.Count(got, word) != 1 {
				t.Errorf("%s: not one %q in\n%s", name, word, got)
			}
		}
	}
	for name, log := range map[string]string{
		"x86-64":               poll + "select(4, [3], NULL, NULL, {0, 0}) = 0 (Timeout)\nrecvfrom(3, \"\", 10, 0, NULL, NULL) = 0\n",
		"the program's output": poll + "write(1, \"recv(3) failed\\n\", 15) = 15\nrecv(3) failed\n",
	} {
		got := text(t, log, Options{FD: -1, Paths: on618})
		if !strings.Contains(got, "do_sys_poll") || strings.Contains(got, word) {
			t.Errorf("%s: no path in\n%s", name, got)
		}
	}
}

// TestNoPaths: a kernel of which nothing was reviewed gets no path and a word.
func TestNoPaths(t *testing.T) {
	const log = "poll([{fd=3, events=POLLIN}], 1, 0) = 0 (Timeout)\nclose(3) = 0\npoll([{fd=3, events=POLLIN}], 1, 5) = 0 (Timeout)\n"
	got := text(t, log, Options{FD: -1, Paths: on618, NoPaths: "no kernel paths: Linux 2.6.32 is too old"})
	if strings.Contains(got, "on Linux") || strings.Count(got, "#: no kernel paths: Linux 2.6.32 is too old\n") != 1 {
		t.Errorf("got\n%s", got)
	}
	if got := text(t, log, Options{FD: -1, Paths: on618, EachPath: true, NoPaths: "no kernel paths: Linux 2.6.32 is too old"}); strings.Count(got, "no kernel paths") != 1 {
		t.Errorf("with a path for each call the word comes more than once:\n%s", got)
	}
}

// TestLaterPaths: what a later event does is called that, and a call shows its
// own way alone.
func TestLaterPaths(t *testing.T) {
	for _, c := range []struct {
		log         string
		now, later  string // functions of each
		neverBefore string // the later ones begin
	}{
		{"ioctl(7, KVM_IRQFD, 0x7ffc) = 0\n", "", "irqfd_wakeup", "irqfd_wakeup"},
		{"ioctl(7, KVM_IOEVENTFD, 0x7ffc) = 0\n", "", "ioeventfd_write", "ioeventfd_write"},
		{"ioctl(7, VHOST_SET_VRING_KICK, 0x7ffc) = 0\n", "", "vhost_poll_wakeup", "vhost_poll_wakeup"},
		{"eventfd2(0, 0) = 5\nio_uring_register(3, IORING_REGISTER_EVENTFD, [5], 1) = 0\n", "", "io_eventfd", "io_eventfd"},
	} {
		tree := treeOf(t, c.log)
		now, later, ok := strings.Cut(tree, "#:   later, ")
		if !ok || !strings.Contains(later, c.later) || !strings.Contains(now, c.now) || strings.Contains(now, "  "+c.neverBefore) {
			t.Errorf("%s\n%s", c.log, tree)
		}
		if c.now == "" && strings.Contains(now, "on Linux") {
			t.Errorf("%s: a path of the call itself in\n%s", c.log, now)
		}
	}
}

// TestRestartOfOthers: a restart_syscall that goes on with a futex or a nanosleep
// is none of ours.
func TestRestartOfOthers(t *testing.T) {
	for _, log := range []string{
		"9 restart_syscall(<... resuming interrupted futex ...>) = -1 ETIMEDOUT (Connection timed out)\n",
		"9 restart_syscall(<... resuming interrupted system call ...>) = -1 ETIMEDOUT (Connection timed out)\n",
		"9 restart_syscall(<... resuming interrupted call ...> <unfinished ...>\n9 <... restart_syscall resumed>) = 0\n",
	} {
		if got := sentences(t, log); len(got) > 0 {
			t.Errorf("%s says %q", log, got)
		}
	}
	const ours = "9 poll([{fd=3, events=POLLIN}], 1, 500) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)\n9 restart_syscall(<... resuming interrupted call ...>) = 0\n"
	if got := lastSentence(t, ours); !strings.HasPrefix(got, "goes on with the poll of line 1") {
		t.Errorf("%s says %q", ours, got)
	}
}
