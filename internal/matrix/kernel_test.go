//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePackage(t *testing.T) {
	for name, want := range map[string]kernel{
		"linux-image-5.10.0-46-cloud-amd64":               {Series: "5.10", Flavour: "cloud", Arch: "amd64", ABI: "5.10.0-46-cloud-amd64"},
		"linux-image-6.1.0-0.deb11.46-cloud-amd64":        {Series: "6.1", Flavour: "cloud", Arch: "amd64", ABI: "6.1.0-0.deb11.46-cloud-amd64"},
		"linux-image-6.1.0-56-amd64":                      {Series: "6.1", Arch: "amd64", ABI: "6.1.0-56-amd64"},
		"linux-image-6.12.117+deb13-cloud-arm64":          {Series: "6.12", Flavour: "cloud", Arch: "arm64", ABI: "6.12.117+deb13-cloud-arm64"},
		"linux-binary-7.3.4+deb13-cloud-amd64":            {Series: "7.3", Flavour: "cloud", Arch: "amd64", ABI: "7.3.4+deb13-cloud-amd64", split: true},
		"linux-image-6.1.0-56-rt-amd64":                   {},
		"linux-image-6.1.0-56-cloud-amd64-dbg":            {},
		"linux-image-6.12.117+deb13-cloud-amd64-unsigned": {},
		"linux-image-amd64":                               {},
		"linux-image-cloud-amd64":                         {},
		"linux-headers-6.1.0-56-amd64":                    {},
	} {
		k, ok := parsePackage(name)
		if ok != (want.ABI != "") || k != want {
			t.Errorf("parsePackage(%q) = %+v, %v; want %+v", name, k, ok, want)
		}
	}
}

func TestKernelsIn(t *testing.T) {
	names := []string{"linux-image-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-cloud-arm64",
		"linux-image-7.1.13+deb13-cloud-amd64", "linux-binary-7.1.13+deb13-cloud-amd64", // and no modules
		"linux-image-7.3.4+deb13-cloud-amd64", "linux-binary-7.3.4+deb13-cloud-amd64", "linux-modules-7.3.4+deb13-cloud-amd64"}
	var got []string
	for _, k := range kernelsIn(names, "amd64") {
		got = append(got, k.spec())
	}
	if d := cmp.Diff([]string{"6.1", "7.3"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestNaturalCompare(t *testing.T) {
	order := []string{"5.10.0-9", "5.10.0-46", "6.1.0-0.deb11.46", "6.1.0-56", "6.12.94+deb12", "6.12.117+deb12", "6.12.117+deb13", "7.0"}
	for i, a := range order {
		for j, b := range order {
			if c := naturalCompare(a, b); (c < 0) != (i < j) || (c == 0) != (i == j) {
				t.Errorf("naturalCompare(%q, %q) = %d", a, b, c)
			}
		}
	}
}

// kernels lists parsed packages, as a mirror would have them.
func kernels(t *testing.T, abis ...string) []*kernel {
	t.Helper()
	var all []*kernel
	for _, abi := range abis {
		k, ok := parsePackage("linux-image-" + abi)
		if !ok {
			t.Fatalf("parsePackage(linux-image-%s) refuses it", abi)
		}
		all = append(all, &k)
	}
	return newest(all)
}

func TestChoose(t *testing.T) {
	list := kernels(t, "6.12.94+deb13-cloud-amd64", "6.12.117+deb13-cloud-amd64", "6.1.0-56-cloud-amd64", "6.1.0-56-amd64", "7.3.4+deb13-amd64", "7.2.12+deb13-cloud-amd64")
	for _, c := range []struct {
		words, want, missing []string
	}{
		{[]string{"6.12", "6.1"}, []string{"6.12.117+deb13-cloud-amd64", "6.1.0-56-cloud-amd64"}, nil},
		{[]string{"6.1-plain"}, []string{"6.1.0-56-amd64"}, nil},
		{[]string{"newest"}, []string{"7.2.12+deb13-cloud-amd64"}, nil}, // the plain 7.3 is no cloud kernel
		{[]string{"7.2", "newest"}, []string{"7.2.12+deb13-cloud-amd64"}, nil},
		{[]string{"all"}, []string{"6.1.0-56-cloud-amd64", "6.12.117+deb13-cloud-amd64", "7.2.12+deb13-cloud-amd64"}, nil},
		{[]string{"5.4", "6.1", "6.12-plain"}, []string{"6.1.0-56-cloud-amd64"}, []string{"5.4", "6.12-plain"}},
	} {
		chosen, missing, err := choose(list, c.words)
		if err != nil {
			t.Errorf("choose(%q): %v", c.words, err)
		}
		var got []string
		for _, k := range chosen {
			got = append(got, k.ABI)
		}
		if !slices.Equal(got, c.want) || !slices.Equal(missing, c.missing) {
			t.Errorf("choose(%q) = %q, missing %q; want %q, missing %q", c.words, got, missing, c.want, c.missing)
		}
	}
	for _, w := range []string{"6", "linux", "6.1-cloud", "6.1.0", "6.1-"} {
		if _, _, err := choose(list, []string{w}); err == nil {
			t.Errorf("choose(%q): no error", w)
		}
	}
}

func TestNamedMirror(t *testing.T) {
	m, err := namedMirror("http://localhost/debian/")
	if err != nil || m.main != "http://localhost/debian" || m.security != "http://localhost/debian-security" {
		t.Errorf("namedMirror = %+v, %v", m, err)
	}
	if _, err := namedMirror("localhost"); err == nil {
		t.Error("namedMirror(localhost): no error")
	}
}

// A kernel of the cache that has lost its image is replaced whole.
func TestKernelWithoutImage(t *testing.T) {
	k := &kernel{dir: filepath.Join(t.TempDir(), "6.1")}
	unpacked := filepath.Join(filepath.Dir(k.dir), ".new")
	for _, dir := range []string{filepath.Join(k.dir, "modules"), unpacked} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.keep(unpacked); err == nil || !strings.Contains(err.Error(), "no kernel image") {
		t.Errorf("keep of a package without an image = %v", err)
	}
	if err := os.WriteFile(filepath.Join(unpacked, "vmlinuz"), []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := k.keep(unpacked); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(k.image()); string(b) != "image" {
		t.Errorf("image %q, %v", b, err)
	}
}
