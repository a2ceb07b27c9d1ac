//go:build linux

package house

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the library imports is built by everybody who imports it: not the
// formats of recordings, not the readers of debugging information, and no more
// of the network than a context takes.
func TestLibraryImportsLittle(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", module).CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	banned := []string{
		"archive/", "compress/", "crypto", "debug/", "encoding/base64", "encoding/json", "flag", "go/", "hash/crc32", "html", "log", "net",
		"os/exec", "path/filepath", "regexp", "testing", "text/", module + "/internal/ktrace/record", module + "/internal/ktrace/ktext", module + "/internal/ktrace/render", module + "/internal/ktrace/tiers",
	}
	n := 0
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		n++
		for _, b := range banned {
			if path == strings.TrimSuffix(b, "/") || strings.HasPrefix(path, strings.TrimSuffix(b, "/")+"/") {
				t.Errorf("the library imports %s by way of others", path)
			}
		}
	}
	if n < 20 {
		t.Errorf("go list -deps knows %d packages", n)
	}
}

// The requirements of go.mod are in the module graph of every program that
// imports the library: golang.org/x/sys, and go-cmp for the tests. Tools that
// need more are modules of their own.
func TestModuleRequiresLittle(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", top+"/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	type module struct{ Path string }
	var mod struct {
		Go        string
		Require   []module
		Replace   []struct{}
		Tool      []struct{}
		Toolchain string
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	want := []module{{"github.com/cilium/ebpf"}, {"github.com/google/go-cmp"}, {"golang.org/x/exp"}, {"golang.org/x/sys"}} // exp is ebpf's
	slices.SortFunc(mod.Require, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	if d := cmp.Diff(want, mod.Require); d != "" {
		t.Errorf("requirements of go.mod (-want +got):\n%s", d)
	}
	if mod.Go != "1.26.0" || mod.Toolchain != "" {
		t.Errorf("go.mod wants Go %s %s, want 1.26.0, the first that has what is used", mod.Go, mod.Toolchain)
	}
	if len(mod.Replace)+len(mod.Tool) > 0 {
		t.Errorf("go.mod has %d replace and %d tool lines: go install refuses or everybody gets them", len(mod.Replace), len(mod.Tool))
	}
}

// Tests compare with go-cmp; no program and no package of the library has it.
func TestOnlyTestsCompareWithCmp(t *testing.T) {
	list := func(args ...string) string {
		out, err := exec.Command("go", append([]string{"list", "-deps"}, append(args, module+"/...")...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v\n%s", err, out)
		}
		return string(out)
	}
	if !strings.Contains(list("-test"), "github.com/google/go-cmp/cmp") {
		t.Error("no test imports go-cmp")
	}
	if strings.Contains(list(), "github.com/google/go-cmp") {
		t.Error("a package that is no test imports go-cmp")
	}
}
