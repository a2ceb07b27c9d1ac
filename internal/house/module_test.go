package house

import (
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
