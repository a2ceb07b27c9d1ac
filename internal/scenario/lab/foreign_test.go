//go:build linux

package lab_test

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/record"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// A recording is judged where the ways into its kernel are documented, and
// refused elsewhere: no verdict on it would be one.
func TestArchitecturesOfRecordings(t *testing.T) {
	for arch, ok := range map[string]bool{"x86_64": true, "aarch64": true, "sparc": false, "": false, "i686": false, "armv7l": false, "riscv64": false} {
		_, err := lab.KernelOf(&record.Header{Release: "6.18.44", Arch: arch})
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "architecture") {
			t.Errorf("%q: %v", arch, err)
		}
	}
}
