//go:build linux

package aged

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestList(t *testing.T) {
	var l List[int]
	n := make([]Node[int], 4)
	for i := range n {
		n[i].Of = i
		l.Add(&n[i])
	}
	check := func(want ...int) {
		t.Helper()
		var got []int
		for at := l.Oldest(); at != nil; at = at.Newer() {
			got = append(got, at.Of)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		for i := len(got) - 1; i > 0; i-- { // and back
			if n[got[i]].older != &n[got[i-1]] {
				t.Errorf("%d is not behind %d", got[i], got[i-1])
			}
		}
		if len(want) > 0 && l.Newest() != &n[want[len(want)-1]] {
			t.Errorf("the newest is %v", l.Newest())
		}
	}
	check(0, 1, 2, 3)
	l.Use(&n[3])
	check(0, 1, 2, 3)
	l.Use(&n[0])
	check(1, 2, 3, 0)
	l.Use(&n[3])
	check(1, 2, 0, 3)
	l.Remove(&n[2])
	check(1, 0, 3)
	l.Remove(&n[1])
	l.Remove(&n[3])
	check(0)
	l.Remove(&n[0])
	check()
	if l.Oldest() != nil || l.Newest() != nil {
		t.Error("an empty list has ends")
	}
	l.Add(&n[2])
	check(2)
}
