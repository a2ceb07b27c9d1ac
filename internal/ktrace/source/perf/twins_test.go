package perf

import "testing"

func TestTwins(t *testing.T) {
	var w twins
	for i, c := range []struct {
		time   int64
		tid    int
		stream uint64
		again  bool
	}{
		{1, 7, 1, false},              // a wake, for the waker
		{2, 7, 2, true},               // and for the woken
		{3, 7, 1, false},              // the same once more is another wake
		{4, 7, 2, true},               //
		{5, 8, 3, false},              // an interrupt's, of another task, between two copies
		{6, 7, 1, false},              //
		{7, 8, 4, true},               //
		{8, 7, 2, true},               //
		{twinWindow * 3, 7, 2, false}, // much later: the first of a pair whose other is lost
		{twinWindow*3 + 1, 7, 1, true},
	} {
		if got := w.again(&Sample{Time: c.time, TID: c.tid, StreamID: c.stream, Raw: []byte{1}, Chain: []uint64{2}}); got != c.again {
			t.Errorf("record %d: again = %v, want %v", i, got, c.again)
		}
	}
}
