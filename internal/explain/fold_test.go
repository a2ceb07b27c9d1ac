//go:build linux

package explain

import (
	"slices"
	"strings"
	"testing"
)

// TestFoldTurns: lines that come in turn are counted as that, and no line is
// counted twice or not at all.
func TestFoldTurns(t *testing.T) {
	const (
		a     = "7 poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout)\n"
		b     = "7 poll([{fd=4, events=POLLIN}], 1, 1000) = 0 (Timeout)\n"
		c     = "7 poll([{fd=5, events=POLLIN}], 1, 1000) = 0 (Timeout)\n"
		other = "7 getpid() = 7\n"
	)
	ab := func(n int) string { return strings.Repeat(a+b, n) }
	for _, test := range []struct {
		name, log string
		want      []string
	}{
		{"two", ab(13), []string{"as lines 1 and 2, 12 more times"}},
		{"two, once", ab(2), []string{"as lines 1 and 2"}},
		{"other calls in between", strings.Repeat(other+a+b, 13), []string{"as lines 2 and 3, 12 more times"}},
		{"and one more", ab(13) + a, []string{"as lines 1 and 2, 12 more times, then as line 1"}},
		{"three", strings.Repeat(a+b+c, 5), []string{"as lines 1, 2 and 3, 4 more times"}},
		{"then another", ab(4) + c, []string{"as lines 1 and 2, 3 more times"}},
		{"one of two", ab(2) + c + ab(2), []string{"as lines 1 and 2", "as lines 1 and 2", "as lines 1 and 2"}},
		{"the same after two", ab(1) + a + a + a, []string{"as line 1, 3 more"}},
		{"the same, then in turn", a + a + a + ab(4), []string{"as line 1, 3 more", "as lines 1 and 5, 3 more times"}},
	} {
		var got []string
		for line := range strings.Lines(text(t, test.log, Options{FD: -1, Fold: true})) {
			if s, ok := strings.CutPrefix(line, mark+"as "); ok {
				got = append(got, "as "+strings.TrimSpace(s))
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// TestFoldLengths: lines are alike whatever time their calls took, and the
// longest is said; one that contradicts its time-out is no such line.
func TestFoldLengths(t *testing.T) {
	const poll = "poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}])"
	for _, test := range []struct{ name, log, want string }{
		{"-T", poll + " <0.000020>\n" + poll + " <0.000038>\n" + poll + " <0.000021>\n", "as line 1, 2 more; none takes more than 38 µs\n"},
		{"-tt", "10:00:00.000000 " + poll + "\n10:00:00.000010 " + poll + "\n10:00:00.000050 " + poll + "\n10:00:00.000060 getpid() = 7\n", "as line 1, 2 more; none takes more than 40 µs\n"},
		{"one not known", poll + " <0.000020>\n" + poll + "\n" + poll + " <0.000021>\n", "as line 1, 2 more\n"},
	} {
		got := text(t, test.log, Options{FD: -1, Fold: true})
		if !strings.Contains(got, mark+test.want) {
			t.Errorf("%s: got\n%s\nwant %s", test.name, got, test.want)
		}
	}
	const late = "poll([{fd=3, events=POLLIN}], 1, 1000) = 0 (Timeout)"
	log := "10:00:00.000000 " + late + "\n10:00:01.010000 " + late + "\n10:00:01.010010 getpid() = 7\n"
	if got := text(t, log, Options{FD: -1, Fold: true}); !strings.Contains(got, "this cannot be the time-out") {
		t.Errorf("got\n%s", got)
	}
}
