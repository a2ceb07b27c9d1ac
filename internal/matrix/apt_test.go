//go:build linux

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

// needApt is for tests that ask for lists, with apt and Debian's keys.
func needApt(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("apt-get")
	testenv.Require(t, "qemu", err)
	_, err = os.Stat(keyring)
	testenv.Require(t, "qemu", err)
}

// A mirror that nobody answers for is told of, and the lists of another do not
// stand in for it.
func TestUnreachableMirror(t *testing.T) {
	needApt(t)
	cache := t.TempDir()
	nobody := mirror{main: "http://127.0.0.1:1/debian", security: "http://127.0.0.1:1/debian-security"}
	list := func(uri string) {
		for _, s := range suites {
			oldList(t, cache, uri, s)
		}
	}
	list("mirror.example_debian")
	kernels, notes, err := find(t.Context(), cache, "amd64", nobody)
	if err == nil || !strings.Contains(err.Error(), "the mirror http://127.0.0.1:1/debian cannot be reached") {
		t.Errorf("%d kernels, %v", len(kernels), err)
	}
	if len(notes) != len(suites) || !strings.Contains(strings.Join(notes, " "), "suite trixie-backports is unavailable: ") {
		t.Errorf("%q", notes)
	}
	list("127.0.0.1:1_debian")
	list("127.0.0.1:1_debian-security")
	_, notes, _ = find(t.Context(), cache, "amd64", nobody)
	if len(notes) != len(suites) || !strings.Contains(strings.Join(notes, " "), "suite trixie-backports: its lists are those of an earlier run: apt-get update: exit status 100: E: Failed to fetch") {
		t.Errorf("with lists of an earlier run: %q", notes)
	}
}

// oldList leaves a suite's list of an earlier run in the cache.
func oldList(t *testing.T, cache, uri string, s suite) {
	t.Helper()
	dir := filepath.Join(cache, "apt", "amd64-"+s.name, "lists")
	os.MkdirAll(dir, 0o755)
	name := uri + "_dists_" + s.name + "_main_binary-amd64_Packages"
	if err := os.WriteFile(filepath.Join(dir, name), []byte("Package: linux-image-6.1.0-56-cloud-amd64\nVersion: 6.1.192-2\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// host serves Debian suites that answer with a status, and nothing else.
func host(t *testing.T, status map[string]int) mirror {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for suite, code := range status {
			if strings.Contains(r.URL.Path, "/"+suite+"/") {
				w.WriteHeader(code)
			}
		}
	}))
	t.Cleanup(s.Close)
	return mirror{main: s.URL + "/debian", security: s.URL + "/debian-security"}
}

// A suite that the mirror no longer has is left out. One that it does not serve
// just now is not: its series would pass for skipped.
func TestSuiteNotServed(t *testing.T) {
	needApt(t)
	m := host(t, map[string]int{suites[0].name: 503, suites[1].name: 404, suites[2].name: 404, suites[3].name: 503})
	cache := t.TempDir()
	for _, i := range []int{2, 3} { // the mirror had them once
		uri, security := strings.TrimPrefix(m.main, "http://"), ""
		if suites[i].security {
			security = "-security"
		}
		oldList(t, cache, strings.ReplaceAll(uri+security, "/", "_"), suites[i])
	}
	kernels, notes, err := find(t.Context(), cache, "amd64", m)
	if err == nil || kernels != nil || !strings.Contains(err.Error(), "could not be asked for "+suites[0].name+", whose") {
		t.Errorf("%d kernels, %v", len(kernels), err)
	}
	for i, want := range []string{"is unavailable: apt-get update: ", "does not have a Release file", "is unavailable: ", ": its lists are those of an earlier run: "} {
		if len(notes) != len(suites) || !strings.Contains(notes[i], want) {
			t.Errorf("no %q in %q", want, notes)
		}
	}
}

func TestAptErrors(t *testing.T) {
	const mismatch = "E: Failed to fetch http://HOST/x.deb  Hash Sum mismatch\n   Hashes of expected file:\n    - SHA256:1\n   Hashes of received file:\n    - SHA256:2\n   Last modification reported: today\nE: Failed to fetch some archives.\n"
	if got := aptErrors(mismatch); got != "E: Failed to fetch http://HOST/x.deb  Hash Sum mismatch\nE: Failed to fetch some archives." {
		t.Errorf("aptErrors = %q", got)
	}
	if got := aptErrors("a\nb\nc\nd\n"); got != "b\nc\nd" {
		t.Errorf("aptErrors without an error = %q", got)
	}
}
