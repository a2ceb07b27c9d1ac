//go:build linux

package perf

import "testing"

func TestTwins(t *testing.T) {
	var w dedup
	for i, c := range []struct {
		time   int64
		tid    int
		stream uint64
		again  bool
	}{
		{1, 7, 1, false},               // a wake, for the waker
		{2, 7, 2, true},                // and for the woken
		{3, 7, 1, false},               // the same once more is another wake
		{4, 7, 2, true},                //
		{5, 8, 3, false},               // an interrupt's, of another task, between two copies
		{6, 7, 1, false},               //
		{7, 8, 4, true},                //
		{8, 7, 2, true},                //
		{dedupWindow * 3, 7, 2, false}, // much later: the first of a pair whose other is lost
		{dedupWindow*3 + 1, 7, 1, true},
	} {
		if got := w.again(&Sample{Time: c.time, TID: c.tid, StreamID: c.stream, Raw: []byte{1}, Chain: []uint64{2}}, true); got != c.again {
			t.Errorf("record %d: again = %v, want %v", i, got, c.again)
		}
	}
}

// TestTwinsOfAnotherPlace: a thread that makes the same call again is no twin
// of itself, though another thread's stream tells of it by then.
func TestTwinsOfAnotherPlace(t *testing.T) {
	const enter, exit, woke, left, got = 1, 2, 3, 4, 5
	var w dedup
	for i, c := range []struct {
		what   byte
		tid    int
		stream uint64
		again  bool
	}{
		{enter, 7, 1, false},
		{woke, 7, 9, false}, // an interrupt on top of it
		{enter, 7, 2, true}, // what was attached to and had inherited
		{exit, 7, 1, false},
		{exit, 7, 2, true},
		{enter, 7, 3, false}, // after a change of places
		{exit, 7, 3, false},
		{enter, 8, 4, false}, // another thread's is no reason
		{enter, 7, 1, false},
		{enter, 7, 3, true},
		{exit, 7, 1, false},
		{enter, 8, 3, true},
		{left, 7, 1, false}, // the CPU, in the middle of a call
		{left, 7, 3, true},
		{got, 7, 0, false}, // it again
		{left, 7, 5, false},
	} {
		if c.what == got {
			w.ran(c.tid)
			continue
		}
		if got := w.again(&Sample{Time: int64(i), TID: c.tid, StreamID: c.stream, Raw: []byte{c.what}}, c.what == woke); got != c.again {
			t.Errorf("record %d: again = %v, want %v", i, got, c.again)
		}
	}
}
