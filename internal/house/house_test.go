//go:build linux

// Package house tests the plan of the house: what imports what, and that
// ARCHITECTURE.md names every package there is.
package house

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/efd-go/efd"

type pkg struct {
	ImportPath string
	Imports    []string
	CgoFiles   []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,CgoFiles", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func external(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(path, module)
}

func TestImports(t *testing.T) {
	leaves := map[string]bool{module + "/internal/uapi": true, module + "/internal/ktrace": true, module + "/internal/asleep": true, module + "/internal/sigblock": true, module + "/internal/probe": true}
	for _, p := range packages(t) {
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo", p.ImportPath)
		}
		for _, i := range p.Imports {
			switch {
			case strings.HasPrefix(i, module+"/cmd/"):
				t.Errorf("%s imports the command %s", p.ImportPath, i)
			case leaves[p.ImportPath] && strings.HasPrefix(i, module):
				t.Errorf("%s is a leaf and imports %s", p.ImportPath, i)
			case p.ImportPath == module && external(i) && i != "golang.org/x/sys/unix":
				t.Errorf("the library imports %s", i)
			}
		}
	}
}

func TestArchitectureNamesEveryPackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages(t) {
		dir := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if dir != "" && !strings.Contains(string(text), "`"+dir+"`") {
			t.Errorf("ARCHITECTURE.md does not name `%s`", dir)
		}
	}
}
