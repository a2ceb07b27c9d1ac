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
