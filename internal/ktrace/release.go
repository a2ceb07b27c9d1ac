//go:build linux

package ktrace

import "strings"

// KernelVersion is the version of a kernel whose uname -r and -v are given.
// Debian's release may name the ABI only (5.10.0-46); the patch level is in
// the version: "#1 SMP Debian 5.10.262-1 (2026-07-31)".
func KernelVersion(release, version string) (Version, error) {
	v, err := ParseVersion(release)
	if err != nil {
		return v, err
	}
	if _, rest, ok := strings.Cut(version, " Debian "); ok {
		if d, err := ParseVersion(rest); err == nil && d.Series() == v.Series() {
			return d, nil
		}
	}
	return v, nil
}
