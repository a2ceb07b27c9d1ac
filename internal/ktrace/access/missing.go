//go:build linux

package access

import (
	"errors"
	"os"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
)

// AllMissing returns the error of an observation that could not begin with all
// that is missing for it, and the smallest change that gives all: the first
// thing that was missing is seldom the only one.
func AllMissing(err error) error {
	first, ok := errors.AsType[*ktrace.AccessError](err)
	if !ok {
		return err
	}
	symErr := symbolsRefused()
	_, id, idErr := EventID()
	perfErr := perf.Try(perf.Want{ID: id, Chain: true, System: true, Raw: id != 0})
	var lack []*ktrace.AccessError
	for _, e := range []error{symErr, perfErr, idErr} {
		if a, ok := errors.AsType[*ktrace.AccessError](e); ok {
			lack = append(lack, a)
		}
	}
	if len(lack) < 2 {
		return err
	}
	return joinErrors(first.Tier, lack, idErr != nil, os.Geteuid() == 0)
}

// joinErrors is one error for several.
func joinErrors(tier string, lack []*ktrace.AccessError, noTracefs, root bool) error {
	out := &ktrace.AccessError{Tier: tier}
	var missing, changes []string
	var all []error
	for _, a := range lack {
		missing, all = append(missing, a.Missing), append(all, a)
		out.Root = out.Root || a.Root
		if !a.Root && a.Change != "" {
			changes = append(changes, a.Change)
		}
	}
	switch {
	case !out.Root:
	case root: // without root's capabilities
		changes = append(changes, "give the process CAP_SYS_ADMIN and CAP_SYSLOG in the initial user namespace")
	case noTracefs:
		changes = append(changes, "run as root, or with CAP_PERFMON and CAP_SYSLOG where root has made a mounted tracefs readable")
	default:
		changes = append(changes, "run as root, or give the process CAP_PERFMON and CAP_SYSLOG")
	}
	last := len(missing) - 1
	out.Missing = strings.Join(missing[:last], ", ") + ", and " + missing[last]
	out.Change, out.Err = strings.Join(changes, ", and "), errors.Join(all...)
	return out
}
