//go:build linux

package explain

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// codesFound are the codes of a log's warnings, each once and in order, without
// waits-for.
func codesFound(t *testing.T, log, kernel string) []string {
	t.Helper()
	out := slices.DeleteFunc(codesOf(t, log, kernel), func(c string) bool { return c == "waits-for" })
	slices.Sort(out)
	return out
}

func diagnosed(t *testing.T, log, kernel string) []*Warning {
	t.Helper()
	x := New()
	x.Kernel = kernel
	if err := x.all(strace.NewReader(strings.NewReader(log), 0)); err != nil {
		t.Fatal(err)
	}
	return x.Warnings()
}

// Logs with the codes that are right for each, from a directory outside of
// the tree.
func TestCases(t *testing.T) {
	dir := os.Getenv("EFD_EXPLAIN_CASES")
	if dir == "" {
		t.Skip("EFD_EXPLAIN_CASES names no directory of logs with an expected.json")
	}
	in, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	type right struct {
		Codes []string
		With  map[string][]string
	}
	var all map[string]right
	if err := json.Unmarshal(in, &all); err != nil {
		t.Fatal(err)
	}
	wanted, got, missing, wrong := 0, 0, 0, 0
	judge := func(name, kernel string, want []string) {
		log, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			return
		}
		have := codesFound(t, string(log), kernel)
		wanted += len(want)
		for _, c := range want {
			if slices.Contains(have, c) {
				got++
			} else {
				missing++
				t.Errorf("%s: no %s", name, c)
			}
		}
		for _, c := range have {
			if !slices.Contains(want, c) {
				wrong++
				t.Errorf("%s: %s is false", name, c)
			}
		}
	}
	for name, r := range all {
		judge(name, "", r.Codes)
		for with, codes := range r.With {
			judge(name, strings.TrimPrefix(with, "-kernel "), codes)
		}
	}
	t.Logf("%d logs: %d of %d codes found, %d missing, %d false", len(all), got, wanted, missing, wrong)
}
