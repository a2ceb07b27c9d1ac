//go:build linux

package ktrace

import "testing"

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]string{
		"6.18": "6.18", "6.18.44-fc-v657": "6.18.44", "5.10.262": "5.10.262", "v6.1-rc7": "6.1-rc7",
		"7.3~rc7-amd64": "7.3-rc7", "6.12.117+deb13-cloud-amd64": "6.12.117", "5.4.0-200-generic": "5.4",
	} {
		got, err := ParseVersion(in)
		if err != nil || got.String() != want {
			t.Errorf("ParseVersion(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "6", "six.eighteen", ".5", "6..1", "99999999999.1"} {
		if v, err := ParseVersion(in); err == nil {
			t.Errorf("ParseVersion(%q) = %v, want an error", in, v)
		}
	}
}

func TestVersionCompare(t *testing.T) {
	order := []string{"4.19", "5.4", "5.10", "5.10.262", "6.1-rc7", "6.1", "6.1.192", "6.12", "7.0"}
	for i, a := range order {
		for j, b := range order {
			va, _ := ParseVersion(a)
			vb, _ := ParseVersion(b)
			if c := va.Compare(vb); (c < 0) != (i < j) || (c == 0) != (i == j) {
				t.Errorf("Compare(%s, %s) = %d", a, b, c)
			}
		}
	}
}

func TestKernelVersion(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"5.10.0-46-cloud-amd64", "#1 SMP Debian 5.10.262-1 (2026-07-31)"}:                      "5.10.262",
		{"6.12.117+deb13-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-10-01)"}: "6.12.117",
		{"6.18.44-fc-v657", "#1 SMP Mon Nov 2 2026"}:                                            "6.18.44",
		{"6.5.1", "#1 SMP Debian 5.10.262-1"}:                                                   "6.5.1", // another kernel's words
	} {
		if got, err := KernelVersion(in[0], in[1]); err != nil || got.String() != want {
			t.Errorf("KernelVersion(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	if _, err := KernelVersion("x", "Debian 5.10.262-1"); err == nil {
		t.Error("KernelVersion of no release: no error")
	}
}
