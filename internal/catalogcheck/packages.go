//go:build linux

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// suites hold the source packages: one series of kernels each, the newest in
// the backports.
var suites = []string{"bullseye-security", "bookworm-security", "trixie-security", "trixie-backports"}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// fetchPackages gets the newest linux-source package of every series with a
// scratch apt root in the cache, so that the machine's own package system is
// neither read nor changed but for the address of its mirror, and unpacks the
// files that the check reads.
func fetchPackages(files map[string]bool) ([]source, error) {
	root := filepath.Join(cache(), "apt")
	conf, err := aptRoot(root)
	if err != nil {
		return nil, err
	}
	apt := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "APT_CONFIG="+conf)
		cmd.Dir = root
		cmd.Stderr = os.Stderr
		return cmd
	}
	if err := apt("apt-get", "-q", "update").Run(); err != nil {
		return nil, fmt.Errorf("apt-get update in %s: %w", root, err)
	}
	list, err := apt("apt-cache", "dumpavail").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-cache: %w", err)
	}
	newest := newestSources(list)
	if len(newest) == 0 {
		return nil, errors.New("no linux-source package in " + strings.Join(suites, ", "))
	}
	var out []source
	for _, p := range newest {
		s, err := unpack(p, files, func() (string, error) {
			if err := apt("apt-get", "-q", "download", p.name+"="+p.version).Run(); err != nil {
				return "", fmt.Errorf("download of %s %s: %w", p.name, p.version, err)
			}
			debs, _ := filepath.Glob(filepath.Join(root, p.name+"_*.deb"))
			if len(debs) != 1 {
				return "", fmt.Errorf("%d files for %s in %s, want one", len(debs), p.name, root)
			}
			return debs[0], nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// aptRoot makes the scratch root and returns its configuration file.
func aptRoot(root string) (string, error) {
	for _, d := range []string{"lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	var list strings.Builder
	main, security, err := mirrors()
	if err != nil {
		return "", err
	}
	for _, s := range suites {
		uri := main
		if strings.HasSuffix(s, "-security") {
			uri = security
		}
		fmt.Fprintf(&list, "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n", uri, s, keyring)
	}
	conf := fmt.Sprintf("Dir::State %q;\nDir::State::Lists %q;\nDir::State::status %q;\nDir::Cache %q;\nDir::Etc %q;\nDir::Etc::Parts %q;\n"+
		"APT::Architecture \"amd64\";\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"root\";\n",
		root, root+"/lists", root+"/status", root+"/cache", root+"/etc", root+"/etc/apt.conf.d")
	for name, text := range map[string]string{"status": "", "apt.conf": conf, "etc/sources.list.d/kernel.sources": list.String()} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return filepath.Join(root, "apt.conf"), nil
}

// mirrors are the addresses that the machine's apt names for Debian and for
// its security updates.
func mirrors() (main, security string, err error) {
	names, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	for _, n := range append([]string{"/etc/apt/sources.list"}, names...) {
		b, err := os.ReadFile(n)
		if err != nil {
			continue
		}
		for _, uri := range regexp.MustCompile(`https?://\S+/debian(?:-security)?/?(?:\s|$)`).FindAllString(string(b), -1) {
			uri = strings.TrimRight(strings.TrimSpace(uri), "/")
			if strings.HasSuffix(uri, "-security") {
				security = uri
			} else {
				main = uri
			}
		}
	}
	if main == "" || security == "" {
		return "", "", errors.New("apt's sources name no Debian archive, or no security archive: add them to /etc/apt/sources.list.d")
	}
	return main, security, nil
}

// pkg is a kernel source package.
type pkg struct{ name, version string }

// upstream is the kernel's version: 6.1.192 of "6.1.192-2".
func (p pkg) upstream() string { return regexp.MustCompile(`^[0-9.]+`).FindString(p.version) }

var sourceName = regexp.MustCompile(`^linux-source-\d+\.\d+$`)

// newestSources reads a list of packages and returns the newest of each
// series. apt lists the newest version of a package first if one suite has
// several, so versions are compared here.
func newestSources(list []byte) []pkg {
	best := map[string]string{}
	name := ""
	for l := range strings.Lines(string(list)) {
		key, value, _ := strings.Cut(strings.TrimSpace(l), ": ")
		switch {
		case key == "Package":
			name = value
		case key == "Version" && sourceName.MatchString(name):
			if old, ok := best[name]; !ok || newer(value, old) {
				best[name] = value
			}
		}
	}
	var out []pkg
	for n, v := range best {
		out = append(out, pkg{n, v})
	}
	sort.Slice(out, func(i, j int) bool { return newer(out[j].upstream(), out[i].upstream()) })
	return out
}

// newer reports whether Debian version a is later than b.
func newer(a, b string) bool {
	return exec.Command("dpkg", "--compare-versions", a, "gt", b).Run() == nil
}

// unpack puts the files of a package into the cache, unless they are there.
func unpack(p pkg, files map[string]bool, download func() (string, error)) (source, error) {
	dir := filepath.Join(cache(), "trees", p.upstream())
	what := fmt.Sprintf("Debian %s %s", p.name, p.version)
	done := filepath.Join(dir, ".files")
	want := strings.Join(sorted(files), "\n")
	if have, err := os.ReadFile(done); err != nil || string(have) != want {
		fmt.Fprintf(os.Stderr, "fetching %s %s\n", p.name, p.version)
		deb, err := download()
		if err != nil {
			return source{}, err
		}
		defer os.Remove(deb)
		if err := extract(deb, dir, files); err != nil {
			return source{}, fmt.Errorf("%s: %w", deb, err)
		}
		if err := errors.Join(os.WriteFile(filepath.Join(dir, ".what"), []byte(what+"\n"), 0o644), os.WriteFile(done, []byte(want), 0o644)); err != nil {
			return source{}, err
		}
	}
	return open(p.upstream(), dir)
}

func sorted(set map[string]bool) []string {
	var out []string
	for s := range set {
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}

// extract writes the wanted files of the kernel tree in a package to dir: the
// package holds one compressed archive of the tree.
func extract(deb, dir string, files map[string]bool) error {
	outer := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	pipe, err := outer.StdoutPipe()
	if err != nil {
		return err
	}
	if err := outer.Start(); err != nil {
		return err
	}
	defer outer.Wait()
	defer io.Copy(io.Discard, pipe)
	r := tar.NewReader(bufio.NewReaderSize(pipe, 1<<20))
	for {
		h, err := r.Next()
		if err != nil {
			return fmt.Errorf("no source archive in the package: %w", err)
		}
		if strings.HasSuffix(h.Name, ".tar.xz") {
			return extractTree(r, dir, files)
		}
	}
}

func extractTree(compressed io.Reader, dir string, files map[string]bool) error {
	xz := exec.Command("xz", "-dc")
	var errs bytes.Buffer
	xz.Stdin, xz.Stderr = compressed, &errs
	pipe, err := xz.StdoutPipe()
	if err != nil {
		return err
	}
	if err := xz.Start(); err != nil {
		return err
	}
	r := tar.NewReader(bufio.NewReaderSize(pipe, 1<<20))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return errors.Join(xz.Wait(), stderr(&errs))
		}
		if err != nil {
			return errors.Join(err, stderr(&errs))
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if !files[name] || h.Typeflag != tar.TypeReg || !fs.ValidPath(name) {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), r); err != nil {
			return err
		}
	}
}

func stderr(b *bytes.Buffer) error {
	if b.Len() == 0 {
		return nil
	}
	return errors.New(strings.TrimSpace(b.String()))
}

func writeFile(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
