//go:build linux

package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var pathBlock = regexp.MustCompile("(?s)```\n\\$ efdtrace (path [^\n]*)\n(.*?)\n```")

// What the README shows of efdtrace path is what it prints.
func TestReadmeShowsWhatPathPrints(t *testing.T) {
	top := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := pathBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md shows no efdtrace path")
	}
	for _, b := range blocks {
		cmd := exec.Command("go", append([]string{"run", "./cmd/efdtrace"}, strings.Fields(b[1])...)...)
		cmd.Dir = top
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("efdtrace %s: %v", b[1], err)
		} else if got := strings.TrimRight(string(out), "\n"); got != b[2] {
			t.Errorf("efdtrace %s prints\n%s\nand README.md shows\n%s", b[1], got, b[2])
		}
	}
}

// Every make target that the README names is there.
func TestReadmeNamesTargets(t *testing.T) {
	top := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := regexp.MustCompile("(?:`|    )make ([a-z0-9-]+)").FindAllStringSubmatch(string(text), -1)
	if len(targets) < 2 {
		t.Fatalf("README.md names %d targets", len(targets))
	}
	for _, m := range targets {
		if !strings.Contains("\n"+string(makefile), "\n"+m[1]+":") {
			t.Errorf("README.md names make %s, which the Makefile does not have", m[1])
		}
	}
}
