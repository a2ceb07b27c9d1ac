//go:build linux

package house

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
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
		"os/exec", "path/filepath", "regexp", "testing", "text/", module + "/internal/ktrace/record", module + "/internal/ktrace/ktext", module + "/internal/ktrace/render",
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

// What go.mod requires is in the module graph of everybody who imports the
// library, also what only a command or a test of it needs. Tools of the house
// that need more are modules of their own.
func TestModuleRequiresOneModule(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", top+"/go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Go        string
		Require   []struct{ Path string }
		Replace   []struct{}
		Tool      []struct{}
		Toolchain string
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Require) != 1 || mod.Require[0].Path != "golang.org/x/sys" {
		t.Errorf("go.mod requires %v, want golang.org/x/sys alone", mod.Require)
	}
	if mod.Go != "1.26.0" || mod.Toolchain != "" {
		t.Errorf("go.mod wants Go %s %s, want 1.26.0, the first that has what is used", mod.Go, mod.Toolchain)
	}
	if len(mod.Replace)+len(mod.Tool) > 0 {
		t.Errorf("go.mod has %d replace and %d tool lines: go install refuses or everybody gets them", len(mod.Replace), len(mod.Tool))
	}
}
