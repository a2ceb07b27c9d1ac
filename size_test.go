//go:build linux

package efd_test

import (
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

// A program that uses the handles alone carries neither the catalogue nor the
// observer, nor what prints calls.
func TestHandlesAloneAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	_, err := exec.LookPath("go")
	testenv.Require(t, "go", err)
	bareSize, _ := build(t, "bare")
	size, symbols := build(t, "handles")
	_, tracing := build(t, "calls")
	for _, pkg := range []string{"ktrace", "catalog", "ksym", "observe", "strace"} {
		if has := symbolsOf(symbols, "internal/ktrace/"+pkg+"."); len(has) > 0 {
			t.Errorf("a program with handles alone has %d symbols of %s: %s", len(has), pkg, has[0])
		}
	}
	for _, s := range []string{"efd.reportAll", "uapi.Errno", "internal/ktrace/catalog.Load"} {
		if len(symbolsOf(symbols, s)) > 0 {
			t.Errorf("a program with handles alone has %s", s)
		}
		if len(symbolsOf(tracing, s)) == 0 {
			t.Errorf("a program that traces has no %s: this test looks for the wrong name", s)
		}
	}
	tables := int64(0)
	for _, s := range symbolsOf(symbols, "internal/uapi.") {
		tables += symbols[s]
	}
	if tables == 0 || tables > 8<<10 {
		t.Errorf("names of flags and signals take %d bytes, want some, and at most 8 KB", tables)
	}
	if growth := size - bareSize; growth > 500<<10 {
		t.Errorf("all handles together add %d KB to a program, want 500 at most", growth>>10)
	} else {
		t.Logf("all handles together add %d KB to a program, %d bytes of it names", growth>>10, tables)
	}
}

// A counter costs a small program at most 200 kB more than the same calls of
// golang.org/x/sys/unix, and no init function but those of context and of the
// package itself.
func TestCounterAloneIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	_, err := exec.LookPath("go")
	testenv.Require(t, "go", err)
	for _, flags := range []string{"", "-s -w"} {
		raw, _ := build(t, "raw", "-ldflags="+flags)
		size, symbols := build(t, "counter", "-ldflags="+flags)
		if growth := size - raw; growth > 200_000 {
			t.Errorf("a counter adds %d bytes to a program built with -ldflags=%q, want 200000 at most", growth, flags)
		} else {
			t.Logf("a counter adds %d bytes to a program built with -ldflags=%q", growth, flags)
		}
		for _, s := range []string{"fmt.Sprintf", "time.Time.String"} {
			if _, has := symbols[s]; has {
				t.Errorf("a program with a counter has %s", s)
			}
		}
	}
	known := inits(t, "raw")
	if len(known) < 5 {
		t.Fatalf("GODEBUG=inittrace=1 names %q", known)
	}
	for _, pkg := range inits(t, "counter") {
		if !slices.Contains(known, pkg) && pkg != "context" && pkg != "github.com/efd-go/efd" {
			t.Errorf("an init function of %s runs in a program with a counter", pkg)
		}
	}
}

// inits are the packages whose init functions run in a program of testdata/size.
func inits(t *testing.T, name string) (packages []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", file, "./testdata/size/"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	cmd := exec.Command(file)
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "init" {
			packages = append(packages, f[1])
		}
	}
	return packages
}

func symbolsOf(symbols map[string]int64, part string) []string {
	var names []string
	for s := range symbols {
		if strings.Contains(s, part) {
			names = append(names, s)
		}
	}
	return names
}

// build builds a program of testdata/size and returns its size and those of
// its symbols.
func build(t *testing.T, name string, flags ...string) (size int64, symbols map[string]int64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	args := slices.Concat([]string{"build", "-o", file}, flags, []string{"./testdata/size/" + name})
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	syms, err := f.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) { // -s
		t.Fatal(err)
	}
	symbols = map[string]int64{}
	for _, s := range syms {
		symbols[s.Name] += int64(s.Size)
	}
	return st.Size(), symbols
}
