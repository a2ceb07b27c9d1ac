//go:build linux

package explain

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// explained is a log with what there is to say below its lines.
func explained(t *testing.T, log string, o Options) string {
	t.Helper()
	o.FD = -1
	return text(t, log, o)
}

// TestCloseRange: what close_range closes has its story as what close does.
func TestCloseRange(t *testing.T) {
	const made = "100 1.0 eventfd2(0, 0) = 3\n100 1.1 epoll_create1(0) = 4\n100 1.1 dup(3) = 5\n" +
		"100 1.2 epoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data={u32=5, u64=5}}) = 0\n100 1.3 read(9, \"\", 1) = 0\n" +
		"100 1.4 write(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"
	for name, c := range map[string]struct {
		log  string
		want []string
	}{
		"all":         {made + "100 2.0 close_range(3, 4294967295, 0) = 0\n", []string{"#: story: eventfd", "#: story: epoll 4", "never read", "closes epoll 4, eventfd 5 [epoll_release, eventfd_release"}},
		"a duplicate": {made + "100 2.0 close_range(5, 5, 0) = 0\n", []string{"eventfd 5 is closed at line 7, but its registration in epoll 4"}},
		"high ones":   {strings.ReplaceAll(made, "= 5\n", "= 5000\n") + "100 2.0 close_range(5000, 5000, 0) = 0\n100 2.1 close(5000) = -1 EBADF (Bad file descriptor)\n", nil},
		"not open":    {made + "100 2.0 close_range(6, 9, 0) = 0\n100 2.1 read(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n", []string{"takes 1"}},
		"cloexec":     {made + "100 2.0 close_range(3, 9, CLOSE_RANGE_CLOEXEC) = 0\n100 2.1 read(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n", []string{"takes 1"}},
	} {
		got := explained(t, c.log, Options{})
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %q in\n%s", name, w, got)
			}
		}
	}
}

// TestManyClosed: descriptors that are closed cost a later call nothing.
func TestManyClosed(t *testing.T) {
	log := func(n int) string {
		var b strings.Builder
		for i := range 8000 {
			fmt.Fprintf(&b, "100 0.1 eventfd2(0, 0) = %d\n", i+3)
		}
		b.WriteString("100 0.1 close_range(0, 4294967295, 0) = 0\n")
		for range n {
			b.WriteString("100 0.1 eventfd2(0, 0) = 70\n100 0.1 close_range(0, 4294967295, 0) = 0\n100 0.1 clone(child_stack=NULL, flags=SIGCHLD) = 101\n101 0.1 +++ exited with 0 +++\n")
		}
		return b.String()
	}
	took := func(n int) time.Duration {
		start := time.Now()
		explained(t, log(n), Options{})
		return time.Since(start)
	}
	// With a walk over all of them it is some seconds.
	if few, many := took(1), took(5000); many > 20*few+2*time.Second {
		t.Errorf("5000 calls took %v, and one %v", many, few)
	}
}

// TestOwnLines: a line of the log that looks like one of ours is announced, and
// nothing of the log gets into ours as it is.
func TestOwnLines(t *testing.T) {
	const forged = "#: eventfd 3 is broken\n"
	log := "100 1.0 eventfd2(0, 0) = 3\n" + forged + "#: " + foreign + "\n" +
		"100 1.1 close(7</tmp/\x1b]0;t\a\x1b[2J\u202e>) = 0\n100 1.2 poll([{fd=8</tmp/\x1b[2J\xff>, events=POLLIN}], 1, -1) = 1 ([{fd=8, revents=POLLIN}])\n"
	got := explained(t, log, Options{})
	var rest strings.Builder
	raw := false
	for line := range strings.Lines(got) {
		own := strings.HasPrefix(line, "#:") && !raw
		raw = own && line == "#: "+foreign+"\n"
		if !own {
			rest.WriteString(line)
			continue
		}
		if strings.ContainsAny(line, "\x1b\a\u202e") || strings.Contains(line, "\xff") {
			t.Errorf("a line of ours is %q", line)
		}
		if strings.Contains(line, "broken") {
			t.Errorf("a line of the log is taken for ours: %q", line)
		}
	}
	if rest.String() != log {
		t.Errorf("without our lines it is\n%q\nwant\n%q", rest.String(), log)
	}
	if s := explained(t, log, Options{Terminal: true}); strings.ContainsAny(s, "\x1b\a\u202e") || strings.Contains(s, "\xff") {
		t.Errorf("on a terminal: %q", s)
	}
}

// TestByteOrder: it is this machine's until a struct epoll_event shows another.
func TestByteOrder(t *testing.T) {
	const write = "100 1.0 write(3<anon_inode:[eventfd]>, \"\\0\\0\\0\\0\\0\\0\\0\\1\", 8) = 8\n"
	event := func(u32, u64 uint64) string {
		return fmt.Sprintf("100 0.9 epoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data={u32=%d, u64=%d}}) = 0\n", u32, u64)
	}
	little, big := fmt.Sprint("adds ", uint64(1)<<56), "adds 1 "
	native := little
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		native = big
	}
	for log, want := range map[string]string{
		write:                                 native,
		event(5, 5) + write:                   little,
		event(0, 5) + write:                   big,
		event(7, 7<<32) + write:               big,
		event(3, 3<<32|3) + write:             native,
		event(5, 5<<32) + event(1, 2) + write: big,
	} {
		if got := explained(t, log, Options{}); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
