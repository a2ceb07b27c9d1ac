//go:build linux

package perf

import (
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// A ring that is left alone until the others are as far is a backlog: records of
// before the time that is read up to may be in it.
func TestRingLeftAloneIsABacklog(t *testing.T) {
	at := place{cpu: 3}
	rs := &Rings{rings: []*ring{{at: at}}, queues: map[place]*queue{
		at: {events: make([]ktrace.Event, 5*batch), last: 3 * backlogAge},
	}}
	if err := rs.drain(false, batch); err != nil {
		t.Fatal(err)
	}
	until := 10 * backlogAge
	if rs.merge(until, nil, nil); !rs.Backlogged() || rs.Watermark() >= until {
		t.Errorf("backlog %t, read up to %d of %d", rs.Backlogged(), rs.Watermark(), until)
	}
}
