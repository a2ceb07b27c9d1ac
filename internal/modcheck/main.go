//go:build linux

// Modcheck tests a commit as a published version: it makes the module's zip,
// serves it from a directory, and from there gets it, installs the command,
// runs the tests in the read-only module cache, and builds for other systems.
// It is a module of its own because of the packages that make the zip.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const (
	efd     = "github.com/efd-go/efd"
	version = "v0.0.1-test"
	maxZip  = 1_500_000
	nobody  = 65534
)

func main() {
	commit := flag.String("commit", "HEAD", "the commit to publish")
	flag.Parse()
	began := time.Now()
	err := check(*commit)
	if err != nil {
		fmt.Fprintln(os.Stderr, "modcheck:", err)
		os.Exit(1)
	}
	fmt.Printf("module: all of it after %d s\n", int(time.Since(began).Seconds()))
}

// checker has the directories of a run.
type checker struct {
	dir  string   // the temporary one of all
	root string   // the clone
	env  []string // of the go command
}

func check(commit string) (err error) {
	root, err := output("", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "efd-module-")
	if err != nil {
		return err
	}
	c := &checker{dir: dir, root: strings.TrimSpace(root)}
	defer func() { err = errors.Join(err, c.remove()) }()
	if err := os.Chmod(dir, 0o755); err != nil { // an ordinary user reads the module cache
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"zip", func() error { return c.publish(commit) }},
		{"go get, go mod tidy, go build", c.get},
		{"go install", c.install},
		{"other systems", c.elsewhere},
		{"go test in the module cache", c.test},
		{"go test as an ordinary user", c.testAsUser},
	} {
		began := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("module: %s: %.1f s\n", step.name, time.Since(began).Seconds())
	}
	return nil
}

// remove removes all files, the read-only cache too.
func (c *checker) remove() error {
	if _, err := c.goes("", "clean", "-modcache"); err != nil && len(c.env) > 0 {
		return err
	}
	return os.RemoveAll(c.dir)
}

func (c *checker) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// publish makes the zip of a commit and serves it from a directory, before this
// machine's module cache and the proxies that are set.
func (c *checker) publish(commit string) error {
	tree := c.path("tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	archive, err := output(c.root, nil, "git", "archive", commit)
	if err != nil {
		return err
	}
	tar := exec.Command("tar", "-x", "-C", tree)
	tar.Stdin = strings.NewReader(archive)
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w\n%s", err, out)
	}
	at := c.path("proxy", filepath.FromSlash(efd), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	var made bytes.Buffer
	if err := zip.CreateFromDir(&made, module.Version{Path: efd, Version: version}, tree); err != nil {
		return err
	}
	listed, err := zip.CheckDir(tree)
	if err != nil {
		return err
	}
	fmt.Printf("module: the zip has %d bytes and %d files\n", made.Len(), len(listed.Valid))
	if made.Len() > maxZip {
		return fmt.Errorf("%d bytes, want %d at most", made.Len(), maxZip)
	}
	mod, err := os.ReadFile(filepath.Join(tree, "go.mod"))
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		version + ".zip": made.Bytes(), version + ".mod": mod, "list": []byte(version + "\n"),
		version + ".info": []byte(`{"Version":"` + version + `","Time":"2026-01-01T00:00:00Z"}`),
	} {
		if err := os.WriteFile(filepath.Join(at, name), text, 0o644); err != nil {
			return err
		}
	}
	set, err := output("", nil, "go", "env", "GOPROXY", "GOMODCACHE")
	if err != nil {
		return err
	}
	lines := strings.Split(set, "\n")
	proxies := "file://" + c.path("proxy") + ",file://" + filepath.Join(lines[1], "cache", "download") + "," + lines[0]
	c.env = append(os.Environ(), "GOPROXY="+proxies, "GOMODCACHE="+c.path("mod"), "GOSUMDB=off", "GOFLAGS=-mod=mod", "GOWORK=off", "GOTOOLCHAIN=local", "GOBIN="+c.path("bin"))
	return nil
}

// goes runs the go command in a directory.
func (c *checker) goes(dir string, args ...string) (string, error) {
	return output(dir, c.env, "go", args...)
}

// module makes a module of files, whose names are followed by their text.
func (c *checker) module(name string, files map[string]string) (dir string, err error) {
	dir = c.path(name)
	files["go.mod"] = "module example.org/" + name + "\n\ngo 1.26.0\n"
	for file, text := range files {
		file = filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	_, err = c.goes(dir, "get", efd+"@"+version)
	return dir, err
}

const program = `package main

import (
	"fmt"

	"github.com/efd-go/efd"
)

func main() {
	e, err := efd.New(0, 0)
	if err == nil {
		err = e.Write(42)
	}
	if err == nil {
		fmt.Println(e.Read())
		err = e.Close()
	}
	if err != nil {
		panic(err)
	}
}
`

// get adds the module to a program. The program's module graph is then the
// program, efd, golang.org/x/sys, go-cmp, which only tests import, and ebpf with
// golang.org/x/exp, which only efdtrace imports: nothing of
// it is built into the program.
func (c *checker) get() error {
	dir, err := c.module("user", map[string]string{"main.go": program})
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"vet", "."}, {"build", "-o", c.path("user.bin"), "."}, {"mod", "verify"}} {
		if _, err := c.goes(dir, args...); err != nil {
			return err
		}
	}
	if out, err := output(dir, nil, c.path("user.bin")); err != nil || out != "42 <nil>\n" {
		return fmt.Errorf("the program printed %q: %w", out, err)
	}
	graph, err := c.goes(dir, "list", "-m", "-f", "{{.Path}}", "all")
	if err != nil {
		return err
	}
	if got := strings.Fields(graph); !slices.Equal(got, []string{"example.org/user", "github.com/cilium/ebpf", efd, "github.com/google/go-cmp", "golang.org/x/exp", "golang.org/x/sys"}) {
		return fmt.Errorf("the module graph of a program is %q", got)
	}
	built, err := c.goes(dir, "list", "-deps", ".")
	if err != nil {
		return err
	}
	if strings.Contains(built, "go-cmp") || strings.Contains(built, "ebpf") {
		return fmt.Errorf("the program is built with go-cmp or ebpf:\n%s", built)
	}
	return c.sums(filepath.Join(dir, "go.sum"))
}

// sums holds the sums that were found for other modules to those of the clone.
func (c *checker) sums(file string) error {
	got, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	known, err := os.ReadFile(filepath.Join(c.root, "go.sum"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(got)) {
		if !strings.HasPrefix(line, efd+" ") && !strings.Contains(string(known), line) {
			return fmt.Errorf("a program's go.sum has %q, which go.sum does not have", line)
		}
	}
	return nil
}

// install installs the command and runs it outside of the clone.
func (c *checker) install() error {
	if _, err := c.goes(c.dir, "install", efd+"/cmd/efdtrace@"+version); err != nil {
		return err
	}
	tool := c.path("bin", "efdtrace")
	for want, args := range map[string][]string{"kernel": {"doctor"}, "eventfd_write": {"path", "eventfd_write"}, "counter": {"learn"}} {
		out, err := output(c.dir, nil, tool, args...)
		if err != nil || !strings.Contains(out, want) {
			return fmt.Errorf("efdtrace %s does not name %q: %w\n%s", strings.Join(args, " "), want, err, out)
		}
	}
	return nil
}

// file matches a file that doc.go shows.
var file = regexp.MustCompile(`(?m)^//\t// ([a-z_]+\.go)\n((?://\t.*\n|//\n//\t.*\n)+)`)

// elsewhere builds for systems on which there is no efd: a program that does
// as doc.go shows is built, and one that imports it is refused by the reason.
func (c *checker) elsewhere() error {
	doc, err := os.ReadFile(c.path("tree", "doc.go"))
	if err != nil {
		return err
	}
	files := map[string]string{}
	for _, m := range file.FindAllStringSubmatch(string(doc), -1) {
		files[m[1]] = strings.ReplaceAll(strings.ReplaceAll(m[2], "//\t", ""), "//\n", "\n")
	}
	if len(files) != 2 {
		return fmt.Errorf("doc.go shows %d files, want two", len(files))
	}
	files["loop.go"] = "package loop\n\nfunc Wake() error {\n\tw, err := newWaker()\n\tif err != nil {\n\t\treturn err\n\t}\n\tdefer w.Close()\n\treturn w.Signal()\n}\n"
	dir, err := c.module("other", files)
	if err != nil {
		return err
	}
	if _, err := c.goes(dir, "mod", "tidy"); err != nil {
		return err
	}
	if _, err := c.goes(dir, "vet", "./..."); err != nil {
		return err
	}
	bare := c.path("user")
	for _, system := range []string{"darwin", "windows", "freebsd"} {
		env := append(slices.Clone(c.env), "GOOS="+system, "CGO_ENABLED=0")
		if _, err := output(dir, env, "go", "vet", "./..."); err != nil {
			return err
		}
		if _, err := output(dir, env, "go", "list", "./..."); err != nil {
			return err
		}
		out, err := output(bare, env, "go", "build", "./...")
		if err == nil || !strings.Contains(err.Error(), "build constraints exclude all Go files") {
			return fmt.Errorf("%s: go build of a program that imports efd: %w\n%s", system, err, out)
		}
	}
	return nil
}

// test runs the library's tests where a user has them.
func (c *checker) test() error {
	_, err := c.goes(c.path("user"), "test", "-count=1", "-timeout=3m", efd)
	return err
}

// testAsUser runs them once more as somebody without privileges, without those
// that build programs: that user has no build cache.
func (c *checker) testAsUser() error {
	if os.Getuid() != 0 {
		fmt.Println("module: the tests ran as an ordinary user")
		return nil
	}
	binary := c.path("efd.test")
	if _, err := c.goes(c.path("user"), "test", "-c", "-o", binary, efd); err != nil {
		return err
	}
	home := c.path("home")
	if err := errors.Join(os.Mkdir(home, 0o755), os.Chown(home, nobody, nobody)); err != nil {
		return err
	}
	cmd := exec.Command(binary, "-test.short", "-test.timeout=3m")
	cmd.Dir = c.path("mod", filepath.FromSlash(efd)+"@"+version)
	cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// output runs a program and returns its output; the error has its standard
// error.
func output(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, &stderr
	out, err := cmd.Output()
	if err != nil {
		wrote := ""
		if name == "go" {
			wrote = string(out)
		}
		err = fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, wrote, stderr.String())
	}
	return string(out), err
}
