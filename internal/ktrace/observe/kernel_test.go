//go:build linux

package observe

import "testing"

// What a compiler did to a build of one architecture says nothing of another's.
func TestGroundOfAnArchitecture(t *testing.T) {
	const both = "x86-64: text of 6.12.117, 6.18.44; chains of 7.3.4; arm64: chains of 6.12.117"
	for _, c := range []struct{ arch, ground, want string }{
		{"amd64", both, "x86-64: text of 6.12.117, 6.18.44; chains of 7.3.4"},
		{"arm64", both, "arm64: chains of 6.12.117"},
		{"riscv64", both, ""},
		{"amd64", "arm64: chains of 6.12.117", ""},
		{"arm64", "arm64: chains of 6.12.117", "arm64: chains of 6.12.117"},
		{"amd64", "", ""},
	} {
		if got := groundFor(c.arch, c.ground); got != c.want {
			t.Errorf("groundFor(%s, %q) = %q, want %q", c.arch, c.ground, got, c.want)
		}
	}
}
