//go:build linux

package observe

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// Kernels of which none of their age was reviewed get no finding: what differs
// there is not known to be wrong.
func TestNotReviewed(t *testing.T) {
	ev := &ktrace.Event{Kind: ktrace.Waking, Source: "sched:sched_waking"}
	for _, n := range strings.Fields("try_to_wake_up default_wake_function pollwake __wake_up_common some_new_function eventfd_write vfs_write ksys_write do_syscall_64 entry_SYSCALL_64_after_hwframe") {
		ev.Stack = append(ev.Stack, ktrace.Frame{Name: n})
	}
	for version, finds := range map[string]bool{"2.6.78": false, "4.4.302": false, "4.19.325": true, "5.3": true, "6.18.44": true, "99.1": false} {
		v, err := ktrace.ParseVersion(version)
		if err != nil {
			t.Fatal(err)
		}
		k := &Kernel{Release: version, Arch: "amd64", Version: v, Catalog: catalog.Default()}
		c := k.match(k.Doc([]string{"eventfd_write", "poll_wake"}, nil), ev, Leaves(Waking)...)
		if got := len(c.Findings()) > 0; got != finds || (k.Doubt() == "") != finds {
			t.Errorf("%s: findings %v, want them %v; doubt %q", version, c.Findings(), finds, k.Doubt())
		}
		if finds {
			continue
		}
		open := 0
		for _, s := range c.Steps {
			if s.Verdict == ktrace.Inconclusive && strings.Contains(s.Evidence, "was reviewed") {
				open++
			}
		}
		if open == 0 {
			t.Errorf("%s: nothing is left open: %v", version, c.Steps)
		}
	}
}

// Where the ways into the kernel are not documented nothing is observed, and
// that is said before anything is opened.
func TestOtherArchitectures(t *testing.T) {
	for arch, ok := range map[string]bool{"amd64": true, "arm64": true, "386": false, "arm": false, "riscv64": false, "s390x": false, "loong64": false, "": false} {
		err := Observable(arch)
		if (err == nil) != ok {
			t.Errorf("%q: %v", arch, err)
		}
		if ok {
			continue
		}
		if s, err := StartOn(&Kernel{Arch: arch, Catalog: catalog.Default()}, nil, Options{}); err == nil || !strings.Contains(err.Error(), "x86-64 and arm64") {
			t.Errorf("%q: session %v, error %v", arch, s, err)
		}
	}
}
