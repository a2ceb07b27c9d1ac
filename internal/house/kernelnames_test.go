//go:build linux

package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kernelNames is how many names of kernel functions the string literals of a
// package may have. What is known of a function belongs into the catalogue's
// data, so the numbers only become smaller.
var kernelNames = map[string]int{
	"internal/adversary/input": 6,  // a recording that asks for much
	"internal/catalogcheck":    10, // searches for calls that the paths lack
	"internal/learn":           10,
	"internal/probe":           2, // shares nothing with what is tested
	"internal/scenario":        3, // names of scenarios
}

const catalogData = "../../internal/ktrace/catalog/data"

// functions are the names of kernel functions that the catalogue has. A name
// that is also that of a path may be written: it is the path's.
func functions(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	b, err := os.ReadFile(filepath.Join(catalogData, "functions.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if name, _, ok := strings.Cut(l, " "); ok && name != "" && name != "#" {
			out[name] = true
		}
	}
	paths, err := filepath.Glob(filepath.Join(catalogData, "paths", "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("the catalogue's paths: %q, %v", paths, err)
	}
	for _, p := range paths {
		delete(out, strings.TrimSuffix(filepath.Base(p), ".txt"))
	}
	return out
}

// identifier is a word of a literal; kmem:kmalloc is a tracepoint.
var identifier = regexp.MustCompile(`[A-Za-z_:][A-Za-z0-9_:]*`)

// namesIn lists the function names in the string literals of a file.
func namesIn(t *testing.T, file string, names map[string]bool) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range identifier.FindAllString(s, -1) {
				if w = strings.Trim(w, ":"); names[w] {
					found = append(found, fset.Position(l.Pos()).String()+": "+w)
				}
			}
		}
		return true
	})
	return found
}

// TestKernelNamesAreData: a kernel function's name is in the catalogue's data
// and in tests, and in no other Go code than kernelNames still allows.
func TestKernelNamesAreData(t *testing.T) {
	names := functions(t)
	found := map[string][]string{}
	for _, name := range files(t) {
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			dir := filepath.Dir(name)
			found[dir] = append(found[dir], namesIn(t, filepath.Join(top, name), names)...)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(found)) {
		if n := found[dir]; len(n) > kernelNames[dir] {
			t.Errorf("%s has %d names of kernel functions, at most %d are allowed:\n%s", dir, len(n), kernelNames[dir], strings.Join(n, "\n"))
		}
	}
	for dir, most := range kernelNames {
		if n := len(found[dir]); n < most {
			t.Logf("%s has %d names of kernel functions: lower its %d here", dir, n, most)
		}
	}
}
