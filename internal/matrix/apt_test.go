package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

// A mirror that nobody answers for is told of, and the lists of another do not
// stand in for it.
func TestUnreachableMirror(t *testing.T) {
	_, err := exec.LookPath("apt-get")
	testenv.Require(t, "qemu", err)
	_, err = os.Stat(keyring)
	testenv.Require(t, "qemu", err)
	cache := t.TempDir()
	nobody := mirror{main: "http://127.0.0.1:1/debian", security: "http://127.0.0.1:1/debian-security"}
	list := func(uri string) {
		for _, s := range suites {
			dir := filepath.Join(cache, "apt", "amd64-"+s.name, "lists")
			os.MkdirAll(dir, 0o755)
			name := uri + "_dists_" + s.name + "_main_binary-amd64_Packages"
			if err := os.WriteFile(filepath.Join(dir, name), []byte("Package: linux-image-6.1.0-56-cloud-amd64\nVersion: 6.1.192-2\n\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	list("mirror.example_debian")
	kernels, notes, err := find(t.Context(), cache, "amd64", nobody)
	if err == nil || !strings.Contains(err.Error(), "the mirror http://127.0.0.1:1/debian cannot be reached") {
		t.Errorf("%d kernels, %v", len(kernels), err)
	}
	if len(notes) != len(suites) || !strings.Contains(strings.Join(notes, " "), "suite trixie-backports is not to be had: ") {
		t.Errorf("%q", notes)
	}
	list("127.0.0.1:1_debian")
	list("127.0.0.1:1_debian-security")
	_, notes, _ = find(t.Context(), cache, "amd64", nobody)
	if len(notes) != len(suites) || !strings.Contains(strings.Join(notes, " "), "suite trixie-backports: the mirror does not answer, its lists are those of an earlier run") {
		t.Errorf("with lists of an earlier run: %q", notes)
	}
}
