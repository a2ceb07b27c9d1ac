//go:build linux

package explain

import (
	"strings"
	"testing"
)

// TestTypedAhead: a program that has input of a terminal to work on looks for
// more between its characters. It does so no longer than the input lasts, and
// only at the terminal.
func TestTypedAhead(t *testing.T) {
	const look = "pselect6(1, [0], [], [0], {tv_sec=0, tv_nsec=0}, NULL) = 0 (Timeout)\n"
	const polls = "poll([{fd=0, events=POLLIN}], 1, 0) = 0 (Timeout)\n"
	const wait = "pselect6(1, [0], [], [0], {tv_sec=4, tv_nsec=0}, NULL) = 1 (in [0], left {tv_sec=3, tv_nsec=9})\n"
	const typed = "read(0, \"ihello w\", 250) = 8\n"
	const tty = "ioctl(5, TCGETS, {c_iflag=ICRNL|IXON, ...}) = 0\n"
	const work = "write(1, \"h\", 1) = 1\n"
	other := func(log string) string {
		return strings.NewReplacer("[0]", "[5]", "fd=0", "fd=5", "read(0", "read(5").Replace(log)
	}
	for name, c := range map[string]struct {
		log   string
		spins bool
	}{
		"typed ahead":           {wait + typed + rep(14, look) + work + rep(30, look) + work, false},
		"by poll":               {wait + typed + rep(40, polls), false},
		"another descriptor":    {tty + other(wait+typed+rep(40, look)), false},
		"no terminal":           {other(wait + typed + rep(40, look)), true},
		"nothing read":          {wait + rep(40, look), true},
		"longer than it lasts":  {wait + typed + rep(100, look), true},
		"after the next wait":   {wait + typed + rep(4, look) + wait + rep(40, look), true},
		"with a socket besides": {wait + typed + rep(40, "poll([{fd=0, events=POLLIN}, {fd=7, events=POLLIN}], 2, 0) = 0 (Timeout)\n"), true},
	} {
		if got := foundIn(t, c.log); strings.HasPrefix(got, "spin-zero-timeout: ") != c.spins || !c.spins && got != "" {
			t.Errorf("%s: %q, wanted a spin: %v", name, got, c.spins)
		}
	}
}

// TestRowsApart: a count of several rows is not said to be one.
func TestRowsApart(t *testing.T) {
	const ready = "poll([{fd=3, events=POLLIN}], 1, -1) = 1 ([{fd=3, revents=POLLIN}])\n"
	const want = "poll found fd 3 ready with POLLIN 19 times in 2 rows, the log shows no sleep within a row, and in each row nothing was read from it"
	if got := foundIn(t, rep(9, ready)+"read(3, \"x\", 9) = 1\n"+rep(10, ready)); !strings.Contains(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
