//go:build linux

package access_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/access"
	"github.com/efd-go/efd/internal/ktrace/tiers"
)

// TestComplete: what an ordinary user lacks is said at once, and nothing is
// added where nothing else is missing.
func TestComplete(t *testing.T) {
	plain := errors.New("no matter of access")
	if err := access.AllMissing(plain); err != plain {
		t.Errorf("%v became %v", plain, err)
	}
	r := tiers.Probe(nil, nil)
	err := access.AllMissing(&ktrace.AccessError{Tier: "kallsyms", Missing: "the first thing"})
	if !r.Tier(tiers.System).OK && !r.Tier(tiers.Names).OK {
		for _, want := range []string{"symbol addresses", "the kernel refuses", "CAP_PERFMON and CAP_SYSLOG"} {
			if os.Geteuid() != 0 && !strings.Contains(err.Error(), want) {
				t.Errorf("no %q in %q", want, err)
			}
		}
	} else if r.Tier(tiers.System).OK && r.Tier(tiers.Names).OK && err.Error() != "the first thing" {
		t.Errorf("nothing is missing, and the error is %q", err)
	}
}
