//go:build linux

package explain

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
)

// Each code has a page with all of its parts, and docs/ has the same.
func TestPages(t *testing.T) {
	testenv.Tree(t, "../../docs")
	dir := "../../docs/warnings"
	var index strings.Builder
	index.WriteString("# What `efdtrace explain` warns of\n\nThe most serious first. `efdtrace explain -code CODE` prints a page.\n\n")
	want := map[string]string{}
	for _, code := range Codes() {
		page := Page(code)
		for _, part := range []string{"# " + code + ": ", "\n    ", "**Pattern.** ", "**Cause.** ", "**Mend.** ", "**See** "} {
			if !strings.Contains(page, part) {
				t.Errorf("%s has no %q", code, part)
			}
		}
		want[code+".md"] = page
		fmt.Fprintf(&index, "- [%s](%s.md): %s\n", code, code, PageTitle(code))
	}
	want["README.md"] = index.String()
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, page := range want {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, page := range want {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if string(got) != page {
			t.Errorf("%s/%s is not the page of the command; run go test -run TestPages -update ./internal/explain", dir, name)
		}
	}
	if files, _ := filepath.Glob(dir + "/*.md"); len(files) != len(want) {
		t.Errorf("%d files in %s, want %d", len(files), dir, len(want))
	}
}
