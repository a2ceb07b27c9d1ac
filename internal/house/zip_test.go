//go:build linux

package house

import (
	"archive/zip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const top = "../.."

// maxZip bounds what everybody fetches who imports the library.
const maxZip = 1_500_000

// apart are the directories that have a go.mod, so that they stay out of the
// module's zip.
var apart = []string{"cmd/efdtrace/testdata", "docs", "internal/bench", "internal/explain/testdata", "internal/ktrace/recorded/testdata", "internal/matrix", "internal/modcheck", "internal/uapi/testdata", "testdata/matrix", "testdata/recordings", "testdata/strace", "testdata/traced"}

// files are those of the repository, without what it ignores.
func files(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err == nil && len(out) > 0 {
		all := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		return slices.DeleteFunc(all, func(name string) bool {
			_, err := os.Lstat(filepath.Join(top, name))
			return errors.Is(err, fs.ErrNotExist)
		})
	}
	var all []string
	err = fs.WalkDir(os.DirFS(top), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".git" || name == "bin" || name == ".bench":
			if e.IsDir() {
				return fs.SkipDir
			}
		case !e.IsDir():
			all = append(all, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// zipped are the files that the module's zip has: not those of modules below.
func zipped(all []string) []string {
	var nested []string
	for _, name := range all {
		if path.Base(name) == "go.mod" && name != "go.mod" {
			nested = append(nested, path.Dir(name)+"/")
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return slices.ContainsFunc(nested, func(dir string) bool { return strings.HasPrefix(name, dir) })
	})
}

// The go command makes a version's zip, and refuses it, by the rules of
// golang.org/x/mod/zip. `make module` has that package make it; these are the
// rules that a change may break.
func TestModuleCanBeZipped(t *testing.T) {
	all := files(t)
	if len(all) < 100 {
		t.Fatalf("%d files in the repository", len(all))
	}
	folded := map[string]string{}
	for _, name := range all { // of the whole repository: it is checked out on systems that fold case
		for n := name; n != "."; n = path.Dir(n) {
			key := strings.ToLower(n)
			if old, ok := folded[key]; ok && old != n {
				t.Errorf("%s and %s differ in case alone", old, n)
			}
			folded[key] = n
		}
		if why := badName(name); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
	size := counter(0)
	z := zip.NewWriter(&size)
	for _, name := range zipped(all) {
		st, err := os.Lstat(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if !st.Mode().IsRegular() {
			t.Errorf("%s is no regular file", name)
			continue
		}
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(module + "@v0.0.0/" + name)
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if size > maxZip {
		t.Errorf("the module's zip has %d bytes, want %d at most: testdata that no user needs gets a go.mod", size, maxZip)
	} else {
		t.Logf("the module's zip has %d bytes and %d files", size, len(zipped(all)))
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

var _ io.Writer = (*counter)(nil)

// badName says what is wrong with the name of a file, by module.CheckFilePath
// of golang.org/x/mod, and nothing of one that may be.
func badName(name string) string {
	if !utf8.ValidString(name) {
		return "a name that is no UTF-8"
	}
	for elem := range strings.SplitSeq(name, "/") {
		if elem == "" || strings.HasSuffix(elem, ".") {
			return "an element that is empty or ends in a dot"
		}
		for _, r := range elem {
			if r >= utf8.RuneSelf && !unicode.IsLetter(r) || r < utf8.RuneSelf && !strings.ContainsRune("!#$%&()+,-.=@[]^_{}~ ", r) && !alphanumeric(r) {
				return "the character " + string(r)
			}
		}
		base, _, _ := strings.Cut(strings.ToUpper(elem), ".")
		if slices.Contains([]string{"CON", "PRN", "AUX", "NUL"}, base) || len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '1' && base[3] <= '9' {
			return "a name that Windows keeps for a device"
		}
	}
	return ""
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}

func TestBadNames(t *testing.T) {
	for name, bad := range map[string]bool{
		"a/b.go": false, "testdata/v6.1-f-Y.txt": false, "é.txt": false, ".ci/run": false, "auxv.go": false, "com10.go": false,
		"a:b": true, "a/aux.go": true, "Com1": true, "a./b": true, "a*": true, "a\"b": true, "a\xff": true, "a//b": true, "☃": true, "a`b": true,
	} {
		if why := badName(name); (why != "") != bad {
			t.Errorf("%q: %q", name, why)
		}
	}
}

// The modules below are those that are known, and a clone has them. Tests skip
// where what they read is not there: this one says that it is.
func TestNestedModules(t *testing.T) {
	if dir, err := filepath.Abs("."); err != nil || strings.Contains(dir, "@") {
		t.Skip("needs a clone of the repository, not the module cache")
	}
	var found []string
	for _, name := range files(t) {
		if path.Base(name) == "go.mod" && name != "go.mod" {
			found = append(found, path.Dir(name))
		}
	}
	slices.Sort(found)
	if d := cmp.Diff(apart, found); d != "" {
		t.Errorf("modules below the main one (-want +got):\n%s", d)
	}
}
