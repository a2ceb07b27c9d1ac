//go:build linux

package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/testenv"
)

// on618 looks paths up for one fixed version, so that output does not depend
// on where the tests run.
func on618(name string) *ktrace.Path {
	p, err := catalog.Default().Path(name, ktrace.Version{Major: 6, Minor: 18}, nil)
	if err != nil {
		return nil
	}
	return p
}

func text(t testing.TB, log string, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, strace.NewReader(strings.NewReader(log), 0), New(), o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func logs(t testing.TB) []string {
	t.Helper()
	testenv.Tree(t, "../../testdata/strace", "testdata")
	files, err := filepath.Glob("../../testdata/strace/*.txt")
	if more, _ := filepath.Glob("../../testdata/strace/programs/*.txt"); len(more) >= 8 {
		files = append(files, more...)
	}
	if err != nil || len(files) < 40 {
		t.Fatalf("%d logs in testdata/strace, err %v", len(files), err)
	}
	return files
}

// stripped is an annotated log without its annotation.
func stripped(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, mark) {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestTextKeepsEveryLine(t *testing.T) {
	for _, f := range logs(t) {
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got := stripped(text(t, string(in), Options{FD: -1, Paths: on618}))
		if strings.TrimSuffix(got, "\n") != strings.TrimSuffix(string(in), "\n") {
			t.Errorf("%s: the log does not come out as it went in", f)
		}
	}
}

func TestJSONKeepsEveryLine(t *testing.T) {
	odd := "\xff\xfe no text\n" + strings.Repeat("é", 900_000) + "\n" + strings.Repeat("x", 3<<20) + "\xff\n7 close(3) = 0\r\n"
	inputs := []string{odd, odd + "no end", strings.Repeat("\xff", 5<<20), ""}
	for _, f := range logs(t) {
		in, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, string(in))
	}
	for _, in := range inputs {
		var b bytes.Buffer
		if err := JSON(&b, strace.NewReader(strings.NewReader(in), 0), New(), Options{FD: -1}); err != nil {
			t.Fatal(err)
		}
		var back strings.Builder
		dec := json.NewDecoder(&b)
		line := 0
		for dec.More() {
			var rec struct {
				Line int
				Raw  string
				B64  *string `json:"raw_base64"`
				Type string
			}
			if err := dec.Decode(&rec); err != nil {
				t.Fatal(err)
			}
			if line++; rec.Line != line {
				t.Fatalf("line %d comes as %d", line, rec.Line)
			}
			if rec.B64 != nil {
				raw, err := base64.StdEncoding.DecodeString(*rec.B64)
				if err != nil {
					t.Fatal(err)
				}
				back.Write(raw)
			} else {
				back.WriteString(rec.Raw)
			}
			back.WriteByte('\n')
		}
		if strings.TrimSuffix(back.String(), "\n") != strings.TrimSuffix(in, "\n") {
			t.Errorf("%.40q...: %d bytes came back, not the %d that went in", in, back.Len(), len(in))
		}
	}
}

// sentences are the annotations of a log without paths.
func sentences(t testing.TB, log string) []string {
	var out []string
	for line := range strings.Lines(text(t, log, Options{FD: -1})) {
		if s, ok := strings.CutPrefix(line, mark); ok && !slices.ContainsFunc([]string{"story: ", "warning: ", found, "efdtrace "}, func(p string) bool { return strings.HasPrefix(s, p) }) {
			out = append(out, strings.TrimSuffix(s, "\n"))
		}
	}
	return out
}

// What is said of a call, by its outcome.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct{ log, want string }{
		{"eventfd2(0, EFD_CLOEXEC|EFD_NONBLOCK) = 3\nwrite(3, \"\\5\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n", "adds 5 to the counter of eventfd 3 [eventfd_write]"},
		{"epoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data={u32=0, u64=5}}) = 0\nwrite(3<anon_inode:[eventfd]>, \"\\0\\0\\0\\0\\0\\0\\0\\7\", 8) = 8\n", "adds 7 to the counter of eventfd 3 [eventfd_write]"},
		{"write(3<anon_inode:[eventfd]>, \"\\376\\377\\377\\377\\377\\377\\377\\377\", 8) = 8\n", "adds 2^64-2 to the counter of eventfd 3 [eventfd_write]"},
		{"read(3<anon_inode:[eventfd]>, 0x7ff, 8) = -1 EAGAIN (Resource temporarily unavailable)\n", "finds the counter of eventfd 3 at 0, EAGAIN [eventfd_read: EAGAIN]"},
		{"poll([{fd=3, events=POLLIN}], 1, 0) = 0 (Timeout)\n", "looks at fd 3 (POLLIN): nothing ready; returns at once [poll]"},
		{"poll([{fd=3, events=0x1}], 1, 5) = 0 (Timeout)\n", "waits for fd 3 (POLLIN), at most 5 ms; sleeps until the time is up [poll, timeout: slept, timed-out, registered]"},
		{"poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}]) <1.500000>\n", "waits for fd 3 (POLLIN), without limit: 1 ready, 3 POLLIN; takes 1.5 s [poll: registered]"},
		{"poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}]) <0.000020>\n", "waits for fd 3 (POLLIN), without limit: 1 ready, 3 POLLIN; takes 20 µs [poll: registered]"},
		{"poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}])\n", "waits for fd 3 (POLLIN), without limit: 1 ready, 3 POLLIN [poll: registered]"},
		{"7 read(3<anon_inode:[eventfd]>,  <unfinished ...>\n7 <... read resumed> <unfinished ...>) = ?\n", "waits for the counter of eventfd 3 to leave 0; its thread is killed in it [eventfd_read]"},
		{"7 poll([{fd=3, events=POLLIN}], 1, -1 <unfinished ...>\n7 +++ killed by SIGKILL +++\n", "dies inside the poll of line 1"},
		{"restart_syscall(<... resuming interrupted poll ...>) = 0\n", "goes on with the poll, with the time that was left: the time is up [poll_restart]"},
		{"epoll_wait(5, 0x7ff, 4, -1) = -1 EINTR (Interrupted system call)\n", "waits on epoll 5, without limit; a signal ends the wait (EINTR) [epoll_wait, signal: EINTR]"},
		{"epoll_wait(5, {{EPOLLIN, {u32=3, u64=3}}}, 4, 0) = 1\n", "looks at epoll 5: 1 ready, data 3 (perhaps fd 3) EPOLLIN; returns at once [epoll_wait]"},
		{"select(4, [3], NULL, NULL, {0, 5000}) = 0 (Timeout)\n", "waits for fd 3 (read), at most 5 ms; sleeps until the time is up [select, timeout: slept, timed-out, registered]"},
		{"poll([{fd=3, events=POLLIN}], 1, -1) = -1 EINTR (Interrupted system call) (INJECTED)\n", "waits for fd 3 (POLLIN), without limit; a signal ends the wait (EINTR); the result is injected by strace: the kernel did not run the call"},
		{"io_submit(0x7f, 1, [{aio_data=0, aio_lio_opcode=IOCB_CMD_PREAD, aio_fildes=4, aio_flags=IOCB_FLAG_RESFD, aio_resfd=3<anon_inode:[eventfd]>}]) = 1\n", "each completed request adds 1 to the counter of eventfd 3, in this call only if it is done at once [aio]"},
		{"ioctl(9, KVM_IRQFD, 0x2bf797a4de88) = 0\n", "gives an eventfd to KVM or takes it back, the log does not say which; with one given, a write to it raises an interrupt in the guest from now on"},
		{"ioctl(9, KVM_IOEVENTFD, 0x157f6ae3e58) = 0\n", "gives an eventfd to KVM or takes it back, the log does not say which; with one given, a write of the guest to the address adds 1 to its counter from now on"},
		{"ppoll(NULL, 0, {tv_sec=0, tv_nsec=18446744073709551615}, NULL, 8) = -1 EINVAL (Invalid argument)\n", "waits for nothing but time; fails with EINVAL: the time-out is no valid time [ppoll: EINVAL]"},
		{"select(0, NULL, NULL, NULL, {tv_sec=0, tv_usec=18446744073709551615}) = -1 EINVAL (Invalid argument)\n", "waits for nothing but time; fails with EINVAL: the time-out is no valid time [select: EINVAL]"},
		{"epoll_create1(0) = 4\neventfd2(1, 0) = 3\nepoll_ctl(4, EPOLL_CTL_ADD, 3, {events=EPOLLIN|EPOLLONESHOT, data=0x3}) = 0\nepoll_wait(4, [{events=EPOLLIN, data=0x3}], 8, 0) = 1\n",
			"looks at epoll 4: 1 ready, eventfd 3 EPOLLIN; returns at once [epoll_wait]"},
		{"7 eventfd2(0, EFD_NONBLOCK) = 3\n7 read(3,  <unfinished ...>\n", "wants to take from the counter of eventfd 3 [eventfd_read]"},
		{"7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 +++ exited with 0 +++\n7 close(3) = 0\n", "closes eventfd 3 [eventfd_release]"},
		{"7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 clone(flags=CLONE_FILES) = 9\n8 +++ exited with 0 +++\n7 close(3) = 0\n", "closes eventfd 3, which stays open through another descriptor"},
		{"7 eventfd2(0, EFD_CLOEXEC) = 3\n7 fork() = 8\n8 execve(\"/bin/true\", [\"true\"], 0x7f) = 0\n7 close(3) = 0\n", "closes eventfd 3 [eventfd_release]"},
		{"7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 execve(\"/bin/true\", [\"true\"], 0x7f) = 0\n7 close(3) = 0\n", "closes eventfd 3, which stays open through another descriptor"},
		{"7 eventfd2(0, 0) = 3\n7 fork() = 8\n8 execve(\"/bin/true\", [\"true\"], 0x7f) = 0\n8 +++ exited with 0 +++\n7 close(3) = 0\n", "closes eventfd 3 [eventfd_release]"},
		{"7 eventfd2(0, 0) = 3\n7 fcntl(3, F_SETFD, FD_CLOEXEC) = 0\n7 fork() = 8\n8 execve(\"/bin/true\", [\"true\"], 0x7f) = 0\n7 close(3) = 0\n", "closes eventfd 3 [eventfd_release]"},
	} {
		got := sentences(t, c.log)
		if len(got) == 0 || got[len(got)-1] != c.want {
			t.Errorf("%s got %q\nwant %q", c.log, got, c.want)
		}
	}
}

// What goes with a process is said at its end in the log, unless there
// may be threads of it that are not.
func TestStoriesOfProcesses(t *testing.T) {
	for log, want := range map[string]string{
		"7 fork() = 8\n8 eventfd2(0, 0) = 3\n8 +++ exited with 0 +++\n7 close(9) = 0\n":                 "made at line 2, closed at line 3",
		"7 fork() = 8\n8 eventfd2(0, EFD_CLOEXEC) = 3\n8 execve(\"/bin/true\", [], 0x7f) = 0\n":         "made at line 2, closed at line 3",
		"7 close(9) = 0\n8 eventfd2(0, 0) = 3\n8 +++ exited with 0 +++\n7 close(9) = 0\n":               "made at line 2, open at the end",
		"7 fork() = 8\n8 clone(flags=CLONE_FILES) = 9\n8 eventfd2(0, 0) = 3\n8 +++ exited with 0 +++\n": "made at line 3, open at the end",
	} {
		if got := text(t, log, Options{FD: -1}); !strings.Contains(got, "story: eventfd 3: "+want) {
			t.Errorf("%s\ngot  %s\nwant %s", log, got, want)
		}
	}
}

// An eventfd that nobody reads in the log may be the one that KVM was given.
func TestGivenIsNotNeverRead(t *testing.T) {
	const unread = "7 eventfd2(0, 0) = 3\n7 eventfd2(0, 0) = 4\n7 read(4, 0x7ff, 8) = 8\n7 write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n7 close(3) = 0\n"
	const warning = "written once and never read"
	if got := text(t, unread, Options{FD: -1}); !strings.Contains(got, warning) {
		t.Errorf("no warning in\n%s", got)
	}
	if got := text(t, "7 ioctl(9, KVM_IRQFD, 0x2bf797a4de88) = 0\n"+unread, Options{FD: -1}); strings.Contains(got, warning) {
		t.Errorf("a warning of an eventfd that KVM may have in\n%s", got)
	}
}
