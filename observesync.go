//go:build linux

package efd

import (
	"os"
	"time"
)

// syncLimit is how long Sync waits if nothing is read.
const syncLimit = 10 * time.Second

// Sync returns once every record up to now has been delivered: each wake before
// the call is counted, each function given to [OnWake] has returned for it, and
// [Observation.Lost] has the losses. Operations of another goroutine are before
// the call if they are by Go's memory model. A wake whose thread has not run
// for 100 ms is delivered without a Latency.
//
// It takes some 60 ms. If nothing more is read for 10 seconds, the error names
// the awaited records, and is an [os.ErrDeadlineExceeded]; after
// [Observation.Stop] it is [os.ErrClosed].
func (o *Observation) Sync() error {
	if o == nil || o.s == nil {
		return o.fail("Sync", os.ErrInvalid)
	}
	if err := o.s.Sync(syncLimit); err != nil {
		return o.fail("Sync", err)
	}
	return nil
}

// Lost is how many records were lost so far, as [Report.Lost] has them. Until the
// next [Observation.Sync] some may not be counted yet.
func (o *Observation) Lost() int {
	if o == nil || o.s == nil {
		return 0
	}
	return int(o.s.Lost())
}

func (o *Observation) fail(method string, err error) error {
	return &callError{text: "Observation." + method, err: err}
}
