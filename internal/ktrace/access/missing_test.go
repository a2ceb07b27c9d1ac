//go:build linux

package access

import (
	"errors"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
)

func TestJoined(t *testing.T) {
	names := &ktrace.AccessError{Tier: "kallsyms", Missing: "names", Change: "CAP_SYSLOG", Root: true, Err: ksym.ErrHidden}
	events := &ktrace.AccessError{Tier: "perf", Missing: "events", Change: "CAP_PERFMON", Root: true}
	numbers := &ktrace.AccessError{Tier: "tracefs", Missing: "numbers", Change: "mount", Root: true}
	never := &ktrace.AccessError{Tier: "tracefs", Missing: "no tracefs", Change: "another kernel"}
	for _, c := range []struct {
		lack            []*ktrace.AccessError
		noTracefs, root bool
		want            string
	}{
		{[]*ktrace.AccessError{names, events, numbers}, true, false, "names, events, and numbers; run as root, or with CAP_PERFMON and CAP_SYSLOG where root has made a mounted tracefs readable"},
		{[]*ktrace.AccessError{names, events}, false, false, "names, and events; run as root, or give the process CAP_PERFMON and CAP_SYSLOG"},
		{[]*ktrace.AccessError{names, events}, false, true, "names, and events; give the process CAP_SYS_ADMIN and CAP_SYSLOG in the initial user namespace"},
		{[]*ktrace.AccessError{names, never}, false, false, "names, and no tracefs; another kernel, and run as root, or give the process CAP_PERFMON and CAP_SYSLOG"},
	} {
		err := joinErrors("perf", c.lack, c.noTracefs, c.root)
		if err.Error() != c.want || !errors.Is(err, ksym.ErrHidden) {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
}
