//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// keyring holds Debian's archive keys; apt checks every list against it.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// suite is a Debian suite that carries kernels.
type suite struct {
	name     string
	security bool // served from the mirror's security tree
}

// suites are small lists that hold every series from 5.10 to the newest.
var suites = []suite{
	{"bullseye-security", true},
	{"bookworm-security", true},
	{"trixie-security", true},
	{"trixie-backports", false},
}

// mirror is where the kernels come from.
type mirror struct{ main, security string }

// hostMirror is the mirror that the host's own apt names.
func hostMirror(ctx context.Context) (mirror, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return mirror{}, fmt.Errorf("ask apt for its mirrors: %w", err)
	}
	var m mirror
	for uri := range strings.FieldsSeq(string(out)) {
		uri = strings.TrimSuffix(uri, "/")
		switch {
		case strings.HasSuffix(uri, "/debian-security"):
			m.security = uri
		case strings.HasSuffix(uri, "/debian"):
			m.main = uri
		}
	}
	if m.main == "" {
		return mirror{}, errors.New("the host's apt names no Debian mirror: set MIRROR to one, such as http://HOST/debian")
	}
	if m.security == "" {
		m.security = m.main + "-security"
	}
	return m, nil
}

// namedMirror is the mirror that MIRROR names: the URI of the main archive,
// with its security tree in the same directory.
func namedMirror(uri string) (mirror, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.Host+u.Path == "" || strings.ContainsFunc(uri, unicode.IsSpace) {
		return mirror{}, fmt.Errorf("MIRROR=%q: want a URI, such as http://HOST/debian", uri)
	}
	uri = strings.TrimSuffix(uri, "/")
	return mirror{main: uri, security: uri + "-security"}, nil
}

// apt is a root of its own for apt, one for each suite: a suite that left the
// mirror fails alone, and nothing of the host's package system is touched.
type apt struct {
	dir  string
	uri  string // of the archive
	env  []string
	note string // why the lists may be old
}

func newApt(cache, arch string, m mirror, s suite) (*apt, error) {
	if _, err := os.Stat(keyring); err != nil {
		return nil, fmt.Errorf("package debian-archive-keyring: %w", err)
	}
	dir := filepath.Join(cache, "apt", arch+"-"+s.name)
	for _, d := range []string{"lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d", "dpkg"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	uri := m.main
	if s.security {
		uri = m.security
	}
	conf := fmt.Sprintf(`Dir::State %[1]q; Dir::State::Lists "%[2]s/lists"; Dir::State::status "%[2]s/dpkg/status";
Dir::Cache "%[2]s/cache"; Dir::Etc "%[2]s/etc"; Dir::Etc::Parts "%[2]s/etc/apt.conf.d";
APT::Architecture %[3]q; APT::Architectures { %[3]q; };
Acquire::Languages "none"; Acquire::Retries "2"; Acquire::http::Timeout "20"; Acquire::https::Timeout "20"; APT::Sandbox::User "";
`, dir, dir, arch)
	files := map[string]string{
		"dpkg/status":                  "",
		"apt.conf":                     conf,
		"etc/sources.list.d/x.sources": fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n", uri, s.name, keyring),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return &apt{dir: dir, uri: uri, env: append(os.Environ(), "APT_CONFIG="+filepath.Join(dir, "apt.conf"), "LC_ALL=C")}, nil
}

// run runs one of apt's programs in dir and returns its output.
func (a *apt) run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = a.env, dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, aptErrors(stderr.String()))
	}
	return out, nil
}

// aptErrors are the error lines of apt's output: an explanation may be longer.
func aptErrors(stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "E: ") {
			lines = append(lines, line)
		}
	}
	if lines == nil {
		return lastLines(stderr, 3)
	}
	return lastLines(strings.Join(lines[:min(3, len(lines))], ""), 3)
}

// gone reports whether apt's error is that the mirror has no such suite.
func gone(err error) bool { return strings.Contains(err.Error(), "does not have a Release file") }

// update fetches and verifies the suite's lists. Lists of an earlier run serve
// if that fails, but not if the mirror no longer has the suite.
func (a *apt) update(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	_, err := a.run(ctx, a.dir, "apt-get", "update", "-q", "--error-on=any")
	if err == nil {
		return nil
	}
	_, host, _ := strings.Cut(a.uri, "://")
	list := strings.ReplaceAll(host, "/", "_") + "_dists_*_Packages*" // as apt names them
	if old, _ := filepath.Glob(filepath.Join(a.dir, "lists", list)); len(old) > 0 && !gone(err) {
		a.note = fmt.Sprintf("its lists are those of an earlier run: %v", err)
		return nil
	}
	return err
}

// packages returns the names of all packages that begin with prefix.
func (a *apt) packages(ctx context.Context, prefix string) ([]string, error) {
	out, err := a.run(ctx, a.dir, "apt-cache", "pkgnames", prefix)
	return strings.Fields(string(out)), err
}

// version is the newest version of a package.
func (a *apt) version(ctx context.Context, pkg string) (string, error) {
	out, err := a.run(ctx, a.dir, "apt-cache", "show", "--no-all-versions", pkg)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, "Version: "); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("package %s: apt-cache shows no version", pkg)
}

// download fetches a package, verified against the lists, and returns the path of the file.
func (a *apt) download(ctx context.Context, pkg string) (string, error) {
	dir, err := os.MkdirTemp(a.dir, "deb-")
	if err != nil {
		return "", err
	}
	if _, err := a.run(ctx, dir, "apt-get", "download", "-q", pkg); err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	debs, _ := filepath.Glob(filepath.Join(dir, pkg+"_*.deb"))
	if len(debs) != 1 {
		os.RemoveAll(dir)
		return "", fmt.Errorf("package %s: apt-get download left %d files", pkg, len(debs))
	}
	return debs[0], nil
}

// lastLines is the tail of a text, for an error message.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
