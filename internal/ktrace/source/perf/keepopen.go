//go:build linux

package perf

import (
	"io"
	"os"

	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
)

// KeepOpen keeps an event of each tracepoint open, without enabling it, until
// it is closed. Closing the last event of a tracepoint waits for an RCU grace
// period (perf_trace_event_unreg calls tracepoint_synchronize_unregister), some
// 40 ms for each: repeated observations avoid that with KeepOpen.
func KeepOpen(names ...string) (io.Closer, error) {
	fs, err := tracefs.Open()
	if err != nil {
		return nil, err
	}
	defer fs.Close()
	cpus, err := CPUs()
	if err != nil {
		return nil, err
	}
	rs := NewRings(os.Getpagesize(), NewStacks(nil))
	for _, name := range names {
		f, err := fs.Event(name)
		if err != nil {
			rs.Close()
			return nil, err
		}
		spec := Tracepoint(name, f)
		if _, err := rs.Add(spec, -1, cpus[0], false); err != nil {
			rs.Close()
			return nil, addError(spec, err)
		}
	}
	return rs, nil
}
