//go:build linux

package access

import (
	"errors"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
)

// EventID reads the number of the tracepoint that all rests on.
func EventID() (how string, id int, err error) {
	fs, err := tracefs.Open()
	if err != nil {
		return "", 0, err
	}
	defer fs.Close()
	f, err := fs.Event("sched:sched_waking")
	if err != nil {
		return "", 0, err
	}
	return "tracefs: " + fs.How(), f.ID, nil
}

// Try tries an event. If its number cannot be read, it tries whether that
// is all that is missing.
func Try(id int, idErr error, w perf.Want) error {
	w.ID = id
	if idErr == nil {
		return perf.Try(w)
	}
	w.Raw = false
	err := perf.Try(w)
	if err == nil {
		return idErr
	}
	var perfErr, fsErr *ktrace.AccessError
	if !errors.As(err, &perfErr) || !errors.As(idErr, &fsErr) {
		return err
	}
	e := &ktrace.AccessError{
		Tier: perfErr.Tier, Missing: perfErr.Missing + ", and the numbers of the tracepoints cannot be read",
		Change: "run as root; CAP_PERFMON is enough where root has made a mounted tracefs readable", Err: errors.Join(err, idErr),
	}
	if !perfErr.Root {
		e.Change = perfErr.Change
	}
	return e
}
