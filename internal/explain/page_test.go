//go:build linux

package explain

import (
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/testenv"
)

const spins = "7 poll([{fd=3, events=POLLIN}], 1, 0) = 0 (Timeout)\n"

// Lines of which the same is to be said are counted; another line in between
// ends the run, and nothing is lost at the end.
func TestFold(t *testing.T) {
	log := "7 close(9) = 0\n" + strings.Repeat(spins, 3) + "7 poll([{fd=4, events=POLLIN}], 1, 0) = 0 (Timeout)\n" + strings.Repeat(spins, 3)
	got := text(t, log, Options{FD: -1, Fold: true})
	var ours []string
	for line := range strings.Lines(got) {
		if s, ok := strings.CutPrefix(line, mark); ok && (strings.HasPrefix(s, "as ") || strings.HasPrefix(s, "looks")) {
			ours = append(ours, strings.TrimSpace(s))
		}
	}
	want := []string{"looks at fd 3 (POLLIN): nothing ready; returns at once [poll]", "as line 2, 2 more", "looks at fd 4 (POLLIN): nothing ready; returns at once [poll]", "as line 2, 3 more"}
	if strings.Join(ours, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(ours, "\n"), strings.Join(want, "\n"))
	}
	if stripped(got) != log {
		t.Error("the log does not come out as it went in")
	}
}

// No line of ours is wider than the terminal, and no word is lost.
func TestWidth(t *testing.T) {
	log := "7 epoll_ctl(6, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLEXCLUSIVE|EPOLLONESHOT, data={u32=4, u64=4}}) = -1 EINVAL (Invalid argument)\n"
	wide := strings.Join(sentences(t, log), " ")
	for _, width := range []int{60, 80, 160} {
		var words []string
		for line := range strings.Lines(text(t, log, Options{FD: -1, Width: width})) {
			s, ours := strings.CutPrefix(line, mark)
			if ours && utf8.RuneCountInString(line) > width+1 {
				t.Errorf("at %d: %q", width, line)
			}
			if ours && !strings.HasPrefix(s, "story: ") {
				words = append(words, strings.Fields(s)...)
			}
		}
		if got := strings.Join(words, " "); got != wide {
			t.Errorf("at %d:\n got %s\nwant %s", width, got, wide)
		}
	}
}

// Outside of UTF-8 what is said is ASCII.
func TestASCII(t *testing.T) {
	log := "7 poll([{fd=3, events=POLLIN}], 1, 5) = 1 ([{fd=3, revents=POLLIN}]) <0.000020>\n"
	if got := text(t, log, Options{FD: -1, ASCII: true}); !strings.Contains(got, "20 us") || strings.Contains(got, "µ") {
		t.Errorf("got %s", got)
	}
}

// What is said of a call stands behind its frames.
func TestBehindFrames(t *testing.T) {
	log := "7 eventfd2(0, 0) = 3\n > /lib/libc.so.6(eventfd+0x5) [0x1]\n > /bin/a(main+0x5) [0x2]\n7 close(8) = 0\n"
	got := text(t, log, Options{FD: -1})
	if !strings.HasPrefix(got, strings.Join(strings.SplitAfter(log, "\n")[:3], "")+mark+"makes eventfd 3") {
		t.Errorf("got\n%s", got)
	}
}

// What was not understood is counted at the end.
func TestUnread(t *testing.T) {
	log := "hello\n\n7 eventfd2(0, 0) = 3\nworld\n7 poll([{fd=3, ev\n"
	if got, want := text(t, log, Options{FD: -1}), "unread: 3 of 4 lines: 2 in no form of strace's, 1 broken off in a call; the first is line 1\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant at its end %s", got, want)
	}
	if got := text(t, "7 eventfd2(0, 0) = 3\n", Options{FD: -1}); strings.Contains(got, "unread") {
		t.Errorf("got\n%s", got)
	}
}

// A running strace's line is written before the next is waited for.
func TestLineByLine(t *testing.T) {
	in, feed := io.Pipe()
	out, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		r := strace.NewReader(in, 0)
		done <- Text(w, r, New(), Options{FD: -1, Flush: true})
		w.Close()
	}()
	lines := make(chan string)
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, err := out.Read(b)
			if n > 0 {
				lines <- string(b[:n])
			}
			if err != nil {
				close(lines)
				return
			}
		}
	}()
	for _, line := range []string{"7 eventfd2(0, 0) = 3\n", "7 read(3,  <unfinished ...>\n", "hello\n"} {
		if _, err := io.WriteString(feed, line); err != nil {
			t.Fatal(err)
		}
		for got := ""; !strings.Contains(got, line); {
			select {
			case s := <-lines:
				got += s
			case <-time.After(20 * time.Second):
				t.Fatalf("%q does not come out before the next line comes in; got %q", line, got)
			}
		}
	}
	feed.Close()
	for testenv.Receive(t, lines, "the end of the output") != "" {
	}
	if err := testenv.Receive(t, done, "the end of Text"); err != nil {
		t.Fatal(err)
	}
}
