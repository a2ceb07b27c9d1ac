//go:build linux

package explain

import (
	"regexp"
	"strings"
	"testing"
)

// tornLines are calls of each kind, with all that has brackets.
var tornLines = []string{
	"poll([{fd=3, events=POLLIN}, {fd=4, events=POLLOUT}], 2, 10) = 1 ([{fd=4, revents=POLLOUT}]) <0.000012>",
	"ppoll([{fd=3, events=POLLIN}], 1, {tv_sec=1, tv_nsec=0}, NULL, 8) = 1 ([{fd=3, revents=POLLIN}], left {tv_sec=0, tv_nsec=5})",
	"epoll_wait(4, [{events=EPOLLIN, data={u32=9, u64=9}}, {events=EPOLLHUP, data={u32=8, u64=8}}], 64, -1) = 2 <0.000015>",
	"epoll_ctl(4, EPOLL_CTL_ADD, 5, {events=EPOLLIN, data={u32=5, u64=5}}) = 0",
	"select(8, [3 5], NULL, [7], {tv_sec=1, tv_usec=0}) = 1 (in [3], left {tv_sec=0, tv_usec=9})",
	"poll([{fd=3, events=POLLIN}], 1, 0) = 0 (Timeout)",
	"eventfd2(0, EFD_CLOEXEC|EFD_NONBLOCK) = 7",
}

// lessThan reports whether each part of got is one of want: nothing else is said.
func lessThan(got, want string) bool {
	parts := regexp.MustCompile(`[][:;,() ]+`)
	have := " " + strings.Join(parts.Split(want, -1), " ") + " "
	for part := range strings.SplitSeq(got, ", ") {
		for _, p := range strings.FieldsFunc(part, func(r rune) bool { return r == ';' || r == ':' || r == '[' }) {
			if !strings.Contains(have, " "+strings.TrimSpace(strings.Join(parts.Split(p, -1), " "))+" ") {
				return false
			}
		}
	}
	return true
}

// TestTorn: a call that has lost one of its brackets is read as it was, or less
// is said of it, or it is not read. Nothing else is said.
func TestTorn(t *testing.T) {
	understood, less, unread, all := 0, 0, 0, 0
	said := func(line string) string { return strings.Join(sentences(t, line+"\n"), "; ") }
	for _, line := range tornLines {
		want := said(line)
		for i := range len(line) {
			if !strings.ContainsRune("[](){}<>", rune(line[i])) {
				continue
			}
			all++
			torn := line[:i] + line[i+1:]
			switch got := said(torn); {
			case got == want:
				understood++
			case strings.HasPrefix(got, "unread: "):
				unread++
			case lessThan(got, want):
				less++
			default:
				t.Errorf("%s\n says %q\nwhole %q", torn, got, want)
			}
		}
	}
	t.Logf("of %d lines %d are understood, of %d less is said, %d are not read", all, understood, less, unread)
	if understood < all/3 {
		t.Errorf("%d of %d lines are understood", understood, all)
	}
}

// TestTornMarks: the marks of two halves, and the time that -T prints, are known without
// one of their brackets, or both. Nothing is said to go on that has returned.
func TestTornMarks(t *testing.T) {
	const first, second = "[pid 7] poll([{fd=3, events=POLLIN}], 1, 10 <unfinished ...>\n", "[pid 7] <... poll resumed>) = 1 ([{fd=3, revents=POLLIN}]) <0.000100>\n"
	want := text(t, first+second, Options{FD: -1})
	said := func(log string) string {
		var b strings.Builder
		for line := range strings.Lines(log) {
			if strings.HasPrefix(line, mark) {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	if !strings.Contains(want, "1 ready, 3 POLLIN; takes 100 µs") {
		t.Fatalf("of the whole log: %s", want)
	}
	for _, torn := range []string{
		strings.Replace(first, " <unf", " unf", 1) + second, strings.Replace(first, " ...>", " ...", 1) + second, strings.NewReplacer(" <unf", " unf", " ...>", " ...").Replace(first) + second,
		first + strings.Replace(second, "<...", "...", 1), first + strings.Replace(second, "resumed>", "resumed", 1), first + strings.NewReplacer("<...", "...", "resumed>", "resumed").Replace(second),
		first + strings.Replace(second, "<0", "0", 1), first + strings.Replace(second, "100>", "100", 1),
		strings.Replace(first, "}]", "}", 1) + second,
	} {
		got := said(text(t, torn, Options{FD: -1}))
		if strings.Contains(torn, "}, 1, 10") { // its first half is understood with the second alone
			if !strings.Contains(got, "waits for fd 3 (POLLIN), at most 10 ms: 1 ready, 3 POLLIN; takes 100 µs") {
				t.Errorf("%s says\n%s", torn, got)
			}
			continue
		}
		if got != said(want) {
			t.Errorf("%s says\n%swant\n%s", torn, got, said(want))
		}
	}
	for _, other := range []string{"... program resumed) = 1\n", "printf(x = 1\n", "see poll([fd ...]) = x\n"} {
		if got := said(text(t, other, Options{FD: -1})); !strings.HasPrefix(got, mark+"unread: ") {
			t.Errorf("%s says %s", other, got)
		}
	}
}

// TestCutList: a list that is cut is not said to be an address.
func TestCutList(t *testing.T) {
	const cut = "poll([{fd=3, events=POLLIN}, {fd=4, events="
	if got := sentences(t, cut+"\n"); len(got) == 0 || got[0] != "waits for descriptors of which the log does not have the whole list [poll: registered]" {
		t.Errorf("%s says %q", cut, got)
	}
	if got := lastSentence(t, "poll(0x7ffe, 1, -1) = 1\n"); !strings.HasPrefix(got, "waits for the descriptors at 0x7ffe, without limit") {
		t.Errorf("an address: %q", got)
	}
}
