//go:build linux

package explain

import (
	"strings"
	"testing"
)

// A timer that has expired for a time is past it ever after, whether or not the
// log has a clock; the times of strace -ttt are CLOCK_REALTIME.
func TestTimerReached(t *testing.T) {
	set := func(at string) string {
		return "timerfd_settime(3, TFD_TIMER_ABSTIME, {it_interval={tv_sec=0, tv_nsec=0}, it_value=" + at + "}, NULL) = 0\n"
	}
	const read = "read(3, \"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n"
	const monotonic = "timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK) = 3\n"
	const wall = "1796041693.000001 timerfd_create(CLOCK_REALTIME, 0) = 3\n"
	same := set("{tv_sec=0, tv_nsec=20000000}") + read
	for name, c := range map[string]struct{ log, want string }{
		"the same time": {monotonic + rep(5, same), "timer-in-past: timerfd 3 is set with TFD_TIMER_ABSTIME to 20 ms, and it had expired for 20 ms by line 3: it expires at once, 4 times in a row"},
		"a later time":  {monotonic + set("{tv_sec=1, tv_nsec=0}") + read + set("{tv_sec=2, tv_nsec=0}") + read + set("{tv_sec=3, tv_nsec=0}") + read + set("{tv_sec=4, tv_nsec=0}") + read, ""},
		"not expired":   {monotonic + rep(5, set("{tv_sec=900, tv_nsec=0}")), ""},
		"a read that began before": {"7 timerfd_create(CLOCK_MONOTONIC, 0) = 3\n7 read(3,  <unfinished ...>\n8 " + set("{tv_sec=900, tv_nsec=0}") +
			"7 <... read resumed>\"\\1\\0\\0\\0\\0\\0\\0\\0\", 8) = 8\n" + rep(5, "8 "+set("{tv_sec=900, tv_nsec=0}")), ""},
		"a wall clock that may be set": {"timerfd_create(CLOCK_REALTIME, 0) = 3\n" + rep(5, same), ""},
		"the times of strace":          {wall + rep(4, "1796041693.000002 "+set("{tv_sec=1796041690, tv_nsec=0}")), "timer-in-past: timerfd 3 is set with TFD_TIMER_ABSTIME to "},
		"after the times of strace":    {wall + rep(4, "1796041693.000002 "+set("{tv_sec=1796041694, tv_nsec=0}")), ""},
	} {
		got := foundIn(t, c.log)
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
