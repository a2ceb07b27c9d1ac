//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/google/go-cmp/cmp"
)

var updatePath = flag.Bool("update-path", false, "write the golden files of path")

// runPath runs the sub-command and returns its status and what it wrote.
func runPath(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = path(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, args)
	return status, out.String(), errs.String()
}

func TestPathGolden(t *testing.T) {
	for name, args := range map[string][]string{
		"list":          {"-list"},
		"write-6.18":    {"-kernel", "6.18", "eventfd_write"},
		"read-4.19":     {"-kernel", "4.19", "eventfd_read"},
		"restart-7.1":   {"-kernel", "7.1", "poll_restart"},
		"wake-5.10.262": {"-kernel", "5.10.262", "epoll_wake"},
		"ioctl-5.15":    {"-kernel", "5.15", "epoll_ioctl"},
		"diff":          {"-diff", "5.4..6.18", "eventfd_read", "epoll_wake"},
		"json":          {"-json", "-kernel", "5.4", "poll_wake"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, errs := runPath(t, args...)
			if status != exitOK || errs != "" {
				t.Fatalf("status %d, stderr %q", status, errs)
			}
			file := filepath.Join("testdata", "path", name+".golden")
			if *updatePath {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), out); d != "" {
				t.Errorf("efdtrace path %s (go test -update-path writes it anew; -want +got):\n%s", strings.Join(args, " "), d)
			}
		})
	}
}

func TestPathStatus(t *testing.T) {
	empty := t.TempDir()
	for _, tc := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"eventfd_wright"}, exitUsage, "eventfd_write"},
		{[]string{"read"}, exitUsage, "scenario (efdtrace verify read), whose paths are eventfd_read"},
		{[]string{"write"}, exitUsage, "near it are eventfd_write;"},
		{[]string{"zzz"}, exitUsage, "-list"},
		{[]string{"-kernel", "6.1.x", "ppoll"}, exitUsage, "MAJOR.MINOR"},
		{[]string{"-kernel", "v6.1", "ppoll"}, exitUsage, "MAJOR.MINOR"},
		{[]string{"-diff", "5.4..v6.18"}, exitUsage, "MAJOR.MINOR"},
		{[]string{"-kernel", "6.18.44-fc-v657", "ppoll"}, exitOK, ""},
		{[]string{"-kernel", "six", "ppoll"}, exitUsage, "-kernel"},
		{[]string{"-diff", "6.18", "ppoll"}, exitUsage, "V1..V2"},
		{[]string{"-diff", "6.18..5.4"}, exitUsage, "older kernel comes first"},
		{[]string{"-diff", "5.4..6.18", "-kernel", "6.1"}, exitUsage, "exclude"},
		{[]string{"-nosuch"}, exitUsage, "-catalog"},
		{[]string{"-catalog", empty, "ppoll"}, exitCannot, "changes.txt"},
		{[]string{"-kernel", "6.1", "ppoll"}, exitOK, ""},
	} {
		status, _, errs := runPath(t, tc.args...)
		if status != tc.status || !strings.Contains(errs, tc.stderr) {
			t.Errorf("path %q: status %d, stderr %q; want %d and %q", tc.args, status, errs, tc.status, tc.stderr)
		}
	}
}

// TestPathJSON: one path is an object, several are an array, and every name
// answers for kernels that nobody reviewed.
func TestPathJSON(t *testing.T) {
	for _, v := range []string{"3.2", "5.7", "5.16", "5.17", "6.4", "6.9", "7.1", "9.0"} {
		status, out, errs := runPath(t, "-json", "-kernel", v)
		var all []pathJSON
		if err := json.Unmarshal([]byte(out), &all); status != exitOK || err != nil {
			t.Fatalf("%s: status %d, %v, %s", v, status, err, errs)
		}
		if len(all) != len(catalog.Default().Names()) || len(all) != 41 {
			t.Errorf("%s: %d paths, want 41", v, len(all))
		}
		for _, p := range all {
			if p.Kernel != v || p.DecidedBy == "" {
				t.Errorf("%s %s: kernel %q, decided by %q", v, p.Path, p.Kernel, p.DecidedBy)
			}
			// What came later than the oldest kernels has no path there.
			if late := map[string]bool{"io_uring": true, "epoll_ioctl": true}; len(p.Edges) == 0 && !late[p.Path] {
				t.Errorf("%s %s: no edges", v, p.Path)
			}
		}
	}
	_, out, _ := runPath(t, "-json", "-kernel", "6.1", "ppoll", "pselect6")
	if !strings.HasPrefix(out, "[") {
		t.Errorf("two paths are no array: %.20s", out)
	}
}

func TestPathCatalogDirectory(t *testing.T) {
	dir := filepath.Join("..", "..", "internal", "ktrace", "catalog", "data")
	_, built, _ := runPath(t, "-kernel", "6.1", "ppoll")
	status, read, errs := runPath(t, "-catalog", dir, "-kernel", "6.1", "ppoll")
	if status != exitOK || read != built {
		t.Errorf("status %d, %s: the catalogue read from its directory differs from the one built in", status, errs)
	}
}

// The history of a call is not that of the function that it calls.
func TestPathSaysWhoseHistory(t *testing.T) {
	status, out, _ := invoke(t, "path", "-kernel", "5.15", "poll")
	if status != exitOK || strings.Contains(out, "(went") || strings.Contains(out, "; went") {
		t.Errorf("status %d, and a function is said to have gone:\n%s", status, out)
	}
	if !strings.Contains(out, "A link leads to the place where the function above it is called") {
		t.Error("no word on where the links lead")
	}
}
