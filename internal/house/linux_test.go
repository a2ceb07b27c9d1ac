//go:build linux

package house

import (
	"go/build/constraint"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// everywhere are the files with the documentation of a public package, which
// import a package that is for Linux.
var everywhere = []string{"doc.go", "efdtest/doc.go"}

// Every Go file is for Linux but those, so that a program that imports the
// library elsewhere is refused by that reason, and a module that builds
// elsewhere too is whole.
func TestFilesAreForLinux(t *testing.T) {
	n := 0
	for _, name := range files(t) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		n++
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if linux := forLinux(t, name, text); linux != !slices.Contains(everywhere, name) {
			t.Errorf("%s: for Linux alone: %v. Every Go file but doc.go begins with //go:build linux, or //go:build linux && ...", name, linux)
		}
	}
	if n < 300 {
		t.Errorf("%d Go files", n)
	}
}

// forLinux reports whether a file's build constraint holds on Linux alone.
func forLinux(t *testing.T, name string, text []byte) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if c.Pos() > f.Package || !constraint.IsGoBuild(c.Text) {
				continue
			}
			x, err := constraint.Parse(c.Text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return needsLinux(x)
		}
	}
	return false
}

func needsLinux(x constraint.Expr) bool {
	switch x := x.(type) {
	case *constraint.TagExpr:
		return x.Tag == "linux"
	case *constraint.AndExpr:
		return needsLinux(x.X) || needsLinux(x.Y)
	case *constraint.OrExpr:
		return needsLinux(x.X) && needsLinux(x.Y)
	}
	return false
}

var docFile = regexp.MustCompile(`(?m)^//\t// ([a-z_]+\.go)\n((?://\t.*\n|//\n//\t.*\n)+)`)

// On other systems a program that imports the library is refused by the reason,
// and one that does as doc.go shows does not import it.
func TestOtherSystems(t *testing.T) {
	dir := t.TempDir()
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := os.ReadFile(filepath.Join(top, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, requires, _ := strings.Cut(string(mod), "require ")
	write("go.mod", "module other\n\ngo 1.26.0\n\nrequire "+module+" v0.0.0\nrequire "+requires+"\nreplace "+module+" => "+root+"\n")
	write("go.sum", string(sum))
	for dir, path := range map[string]string{"bare": module, "tested": module + "/efdtest"} {
		write(dir+"/main.go", "package main\n\nimport _ \""+path+"\"\n\nfunc main() {}\n")
	}
	text, err := os.ReadFile(filepath.Join(top, "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	shown := docFile.FindAllStringSubmatch(string(text), -1)
	if len(shown) != 2 {
		t.Fatalf("doc.go shows %d files, want one for Linux and one for the others", len(shown))
	}
	for _, f := range shown {
		write("loop/"+f[1], strings.ReplaceAll(strings.ReplaceAll(f[2], "//\t", ""), "//\n", "\n"))
	}
	list := func(system, pkg string) (string, error) {
		cmd := exec.Command("go", "list", "-mod=mod", "-deps", pkg)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "GOFLAGS=", "GOWORK=off", "GOPROXY=off")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := list("linux", "./loop"); err != nil || !strings.Contains(out, module+"\n") {
		t.Errorf("on Linux the package of doc.go does not import the library: %v\n%s", err, out)
	}
	for _, system := range []string{"darwin", "windows", "freebsd"} {
		if out, err := list(system, "./loop"); err != nil || strings.Contains(out, module) {
			t.Errorf("%s: the package of doc.go: %v\n%s", system, err, out)
		}
		for _, program := range []string{"./bare", "./tested"} {
			if out, err := list(system, program); err == nil || !strings.Contains(out, "build constraints exclude all Go files") {
				t.Errorf("%s: %s, a program that imports the library: %v\n%s", system, program, err, out)
			}
		}
	}
}
