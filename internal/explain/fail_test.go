//go:build linux

package explain

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

func onKernel(t testing.TB, version, name string) *ktrace.Path {
	t.Helper()
	v, err := ktrace.ParseVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	p, err := catalog.Default().Path(name, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reached are the functions in which the way of a call through its path ends,
// in the order of the tree.
func reached(p *ktrace.Path, n *Note, paths func(string) *ktrace.Path) string {
	return strings.Join(leaves(grow(way(p, n, paths), func(*ktrace.Edge) bool { return true })), " ")
}

// each calls f for each call of a log that there is something to say of.
func each(log []byte, f func(rec *strace.Record, n *Note)) {
	r, x := strace.NewReader(bytes.NewReader(log), 0), New()
	for {
		rec, err := r.Next()
		if err != nil {
			return
		}
		if n := x.Explain(rec); n != nil && len(n.Paths) > 0 && (rec.Type == strace.CallLine || rec.Type == strace.Resumed) {
			f(rec, n)
		}
	}
}

// How far each failed call of a real log came, on the oldest and the newest
// reviewed kernel and one between: compared with the source by a person.
func TestFailedCallsReach(t *testing.T) {
	const name = "testdata/errors-f.reached"
	testenv.Tree(t, "../../testdata/strace", "testdata")
	in, err := os.ReadFile("../../testdata/strace/programs/errors-f.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	each(in, func(rec *strace.Record, n *Note) {
		if rec.Call.Errno == "" || rec.Call.Name == "rt_sigreturn" {
			return
		}
		fmt.Fprintf(&b, "%d %s: %s\n", rec.Line, rec.Call.Name, rec.Call.Errno)
		last := ""
		for _, v := range []string{"4.19", "6.18", "7.3.4"} {
			if v == "4.19" && rec.Call.Name == "epoll_pwait2" {
				continue // has no such call
			}
			got := reached(onKernel(t, v, n.Paths[0]), n, nil)
			if got == last {
				got = "the same"
			} else {
				last = got
			}
			fmt.Fprintf(&b, "  %s: %s\n", v, got)
		}
	})
	got := b.String()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Fatalf("%s (go test -update writes it anew; -want +got):\n%s", name, d)
	}
	if n := strings.Count(got, ": E"); n < 75 {
		t.Errorf("%d failed calls in the log, want 75 or more", n)
	}
}

// What the log's program cannot bring about: no memory, no file, the limit of
// watches; and what a line leaves open.
func TestFailuresReach(t *testing.T) {
	const made = "epoll_create1(0) = 4\neventfd2(0, EFD_NONBLOCK) = 3\n"
	for _, c := range []struct{ log, kernel, reached, why string }{
		{"eventfd2(0, 0) = -1 ENFILE (Too many open files in system)", "6.18", "kmalloc kref_init __init_waitqueue_head ida_alloc_range get_unused_fd_flags alloc_file eventfd_free_ctx", "/proc/sys/fs/file-max"},
		{"eventfd2(0, 0) = -1 ENOMEM (Cannot allocate memory)", "6.18", "kmalloc", "no memory"},
		{"epoll_create1(0) = -1 ENOMEM (Cannot allocate memory)", "6.18", "ep_alloc", "no memory"},
		{made + "epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = -1 ENOSPC (No space left on device)", "6.18", "copy_from_user file_can_poll ep_find ep_insert", "max_user_watches"},
		{made + "epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = -1 ENOSPC (No space left on device)", "7.3.4", "copy_from_user file_can_poll ep_ctl_lock ep_find ep_alloc_epitem", "max_user_watches"},
		{made + "epoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN, data={u32=3, u64=3}}) = -1 ENOMEM (Cannot allocate memory)", "6.18", "copy_from_user file_can_poll ep_find kmem_cache_zalloc", "no memory for the item"},
		{"poll([{fd=3, events=POLLIN}], 1, 5) = -1 ENOMEM (Cannot allocate memory)", "6.18", "poll_select_set_timeout rlimit copy_from_user", "no memory for the list"},
		{"select(4, [3], NULL, NULL, NULL) = -1 ENOMEM (Cannot allocate memory)", "6.18", "files_fdtable poll_select_finish", "no memory for the bitmaps"},
		// An epoll from before the log: two causes, and only what both have.
		{"epoll_ctl(9, EPOLL_CTL_ADD, 8, {events=EPOLLIN, data={u32=3, u64=3}}) = -1 EINVAL (Invalid argument)", "6.18", "copy_from_user file_can_poll", "is no epoll, or too many wake-up paths"},
		{"epoll_ctl(9, EPOLL_CTL_MOD, 8, {events=EPOLLIN, data={u32=3, u64=3}}) = -1 EINVAL (Invalid argument)", "6.18", "copy_from_user file_can_poll", "is no epoll, or the item was put in with EPOLLEXCLUSIVE"},
		{"epoll_ctl(4, EPOLL_CTL_DEL, 77) = -1 EBADF (Bad file descriptor)", "6.18", "do_epoll_ctl", "one of the two is not open"},
		{"epoll_ctl(0x4, 0x1, 0x4, 0xc000001000) = -1 EINVAL (Invalid argument)", "6.18", "copy_from_user file_can_poll", "an epoll cannot be in itself"},
		{"epoll_ctl(4, 0x1, 4, {events=0x1, data={u32=3, u64=3}}) = -1 EINVAL (Invalid argument)", "6.18", "copy_from_user file_can_poll", "an epoll cannot be in itself"},
		// An errno that the catalogue does not know: the entry alone.
		{"poll([{fd=3, events=POLLIN}], 1, 5) = -1 EIO (Input/output error)", "6.18", "__x64_sys_poll", "EIO"},
		// Not failed, and yet not all of the path.
		{"poll(NULL, 0, 0) = 0 (Timeout)", "6.18", "poll_select_set_timeout rlimit init_poll_funcptr signal_pending poll_freewait", "looks at no descriptor"},
		{"eventfd2(0, 0) = 77\nclose(77) = 0\npoll([{fd=77, events=POLLIN}], 1, -1) = 1 ([{fd=77, revents=POLLNVAL}])", "6.18", "rlimit copy_from_user init_poll_funcptr do_pollfd signal_pending poll_freewait unsafe_put_user", "POLLNVAL"},
		{"epoll_wait(4, [], 8, 0) = 0", "6.18", "ep_check_params ep_events_available", "looks at epoll 4: nothing ready"},
		{made + "epoll_ctl(4, EPOLL_CTL_DEL, 3, NULL) = 0", "6.18", "file_can_poll ep_find remove_wait_queue", "takes eventfd 3 out"},
	} {
		n := 0
		each([]byte(c.log+"\n"), func(rec *strace.Record, note *Note) {
			if n++; n <= strings.Count(c.log, "\n") {
				return
			}
			if got := reached(onKernel(t, c.kernel, note.Paths[0]), note, nil); got != c.reached {
				t.Errorf("%s on %s\n got %s\nwant %s", c.log, c.kernel, got, c.reached)
			}
			if !strings.Contains(string(note.Summary), c.why) {
				t.Errorf("%s\n got %s\nwant it to say %q", c.log, note.Summary, c.why)
			}
		})
		if n == 0 {
			t.Errorf("%s: nothing is said", c.log)
		}
	}
}
