//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// kernel is one stock kernel of the mirror, and where it lies once it is unpacked.
type kernel struct {
	Series  string // "6.12"
	Flavour string // "cloud", or "" for the plain one
	Arch    string // as Debian names it: amd64, arm64
	ABI     string // "6.12.117+deb13-cloud-amd64", the output of uname -r
	Version string // of the package

	split  bool // image and modules are packages of their own, as from 6.19 on
	source *apt
	dir    string // unpacked: vmlinuz and modules/
}

// spec is how KERNELS names the kernel: 6.12, or 6.12-plain.
func (k *kernel) spec() string {
	if k.Flavour == "" {
		return k.Series + "-plain"
	}
	return k.Series
}

func (k *kernel) image() string { return filepath.Join(k.dir, "vmlinuz") }

// packageName matches the packages that hold a bootable image. Names with -rt
// or -unsigned do not match.
var packageName = regexp.MustCompile(`^linux-(image|binary)-((\d+\.\d+)[^-]*(?:-[0-9][^-]*)?(-cloud)?-(amd64|arm64))$`)

// parsePackage reads a package's name; ok is false for one that holds no stock kernel.
func parsePackage(name string) (k kernel, ok bool) {
	m := packageName.FindStringSubmatch(name)
	if m == nil {
		return kernel{}, false
	}
	return kernel{ABI: m[2], Series: m[3], Flavour: strings.TrimPrefix(m[4], "-"), Arch: m[5], split: m[1] == "binary"}, true
}

// list returns the newest kernel of each series and flavour of a suite.
func (a *apt) list(ctx context.Context, arch string) ([]*kernel, error) {
	var names []string
	for _, prefix := range []string{"linux-image-", "linux-binary-", "linux-modules-"} {
		n, err := a.packages(ctx, prefix)
		if err != nil {
			return nil, err
		}
		names = append(names, n...)
	}
	found := kernelsIn(names, arch)
	for _, k := range found {
		k.source = a
	}
	return found, nil
}

// kernelsIn are the kernels of which all packages are among the names.
func kernelsIn(names []string, arch string) (found []*kernel) {
	for _, name := range names {
		k, ok := parsePackage(name)
		// From 6.19 on linux-image is a package of 2 kB that goes with
		// linux-binary.
		if !ok || k.Arch != arch || !k.split && slices.Contains(names, "linux-binary-"+k.ABI) {
			continue
		}
		// A mirror that lets a series go loses one of its packages first.
		if k.split && !slices.Contains(names, "linux-modules-"+k.ABI) {
			continue
		}
		found = append(found, &k)
	}
	return found
}

// newest keeps the newest ABI of each series and flavour, in order of series.
func newest(all []*kernel) []*kernel {
	best := map[string]*kernel{}
	for _, k := range all {
		if b := best[k.spec()]; b == nil || naturalCompare(b.ABI, k.ABI) < 0 {
			best[k.spec()] = k
		}
	}
	var list []*kernel
	for _, k := range best {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *kernel) int { return naturalCompare(a.spec(), b.spec()) })
	return list
}

// naturalCompare orders strings with the numbers in them as numbers.
func naturalCompare(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, _ := strconv.ParseUint(a[:na], 10, 64)
			y, _ := strconv.ParseUint(b[:nb], 10, 64)
			if x != y {
				if x < y {
					return -1
				}
				return 1
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// Newest is the word for the newest series of the mirror in KERNELS.
const newestWord = "newest"

// choose picks the kernels that the words of KERNELS name. A series that the
// mirror does not have comes back in missing.
func choose(list []*kernel, words []string) (chosen []*kernel, missing []string, err error) {
	for _, w := range words {
		switch {
		case w == "all":
			for _, k := range list {
				if k.Flavour == "cloud" {
					chosen = append(chosen, k)
				}
			}
			continue
		case w == newestWord:
			last := -1
			for i, k := range list {
				if k.Flavour == "cloud" && (last < 0 || naturalCompare(list[last].Series, k.Series) < 0) {
					last = i
				}
			}
			if last < 0 {
				missing = append(missing, w)
				continue
			}
			chosen = append(chosen, list[last])
			continue
		case !specWord.MatchString(w):
			return nil, nil, fmt.Errorf("KERNELS: %q: want a series such as 6.12, a plain flavour such as 6.1-plain, %q or %q", w, newestWord, "all")
		}
		i := slices.IndexFunc(list, func(k *kernel) bool { return k.spec() == w })
		if i < 0 {
			missing = append(missing, w)
			continue
		}
		chosen = append(chosen, list[i])
	}
	var unique []*kernel
	for _, k := range chosen {
		if !slices.Contains(unique, k) {
			unique = append(unique, k)
		}
	}
	return unique, missing, nil
}

var specWord = regexp.MustCompile(`^\d+\.\d+(-plain)?$`)

// find updates the lists of all suites and returns the newest kernel of each
// series. A suite that the mirror does not have comes back as a note; if one
// cannot be fetched it fails, since its series would be missed.
func find(ctx context.Context, cache, arch string, m mirror) (list []*kernel, notes []string, err error) {
	roots := make([]*apt, len(suites))
	updated := make([]error, len(suites))
	var wg sync.WaitGroup
	for i, s := range suites {
		a, err := newApt(cache, arch, m, s)
		if err != nil {
			return nil, nil, err
		}
		roots[i] = a
		wg.Go(func() { updated[i] = a.update(ctx) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	lost := 0
	var unfetched []string
	for i, a := range roots {
		if updated[i] != nil {
			notes = append(notes, fmt.Sprintf("suite %s is unavailable: %v", suites[i].name, updated[i]))
			lost++
			if !gone(updated[i]) {
				unfetched = append(unfetched, suites[i].name)
			}
			continue
		}
		if a.note != "" {
			notes = append(notes, fmt.Sprintf("suite %s: %s", suites[i].name, a.note))
		}
		ks, err := a.list(ctx, arch)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, ks...)
	}
	switch {
	case lost == len(suites):
		return nil, notes, fmt.Errorf("the mirror %s cannot be reached or has none of the suites: no kernel can be fetched", m.main)
	case unfetched != nil:
		return nil, notes, fmt.Errorf("the mirror %s could not be asked for %s, whose kernels would be missed", m.main, strings.Join(unfetched, ", "))
	case len(list) == 0:
		return nil, notes, fmt.Errorf("the mirror %s has no kernel", m.main)
	}
	return newest(list), notes, nil
}

// fetch makes sure that the kernel lies unpacked in the cache. It returns
// whether it had to be downloaded.
func (k *kernel) fetch(ctx context.Context, cache string) (fresh bool, err error) {
	kind := "linux-image-"
	if k.split {
		kind = "linux-binary-"
	}
	if k.Version, err = k.source.version(ctx, kind+k.ABI); err != nil {
		return false, err
	}
	home := filepath.Join(cache, "kernels", k.Arch)
	k.dir = filepath.Join(home, k.ABI+"_"+k.Version)
	if _, err := os.Stat(k.image()); err == nil {
		return false, nil
	}
	pkgs := []string{kind + k.ABI}
	if k.split {
		pkgs = append(pkgs, "linux-modules-"+k.ABI)
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return false, err
	}
	tmp, err := os.MkdirTemp(home, ".new-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	for _, pkg := range pkgs {
		deb, err := k.source.download(ctx, pkg)
		if err != nil {
			return false, err
		}
		err = unpack(ctx, deb, tmp)
		os.RemoveAll(filepath.Dir(deb))
		if err != nil {
			return false, fmt.Errorf("unpack %s: %w", pkg, err)
		}
	}
	if err := k.keep(tmp); err != nil {
		return false, fmt.Errorf("package %s: %w", pkgs[0], err)
	}
	k.forgetOlder(home)
	return true, nil
}

// keep moves the unpacked files to the kernel's place, replacing an incomplete
// copy without an image.
func (k *kernel) keep(unpacked string) error {
	if _, err := os.Stat(filepath.Join(unpacked, "vmlinuz")); err != nil {
		return errors.New("it holds no kernel image")
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(k.dir); err != nil {
		return err
	}
	return os.Rename(unpacked, k.dir)
}

// forgetOlder removes the older uploads of the same series and flavour.
func (k *kernel) forgetOlder(home string) {
	entries, _ := os.ReadDir(home)
	for _, e := range entries {
		abi, _, _ := strings.Cut(e.Name(), "_")
		old, ok := parsePackage("linux-image-" + abi)
		if ok && old.spec() == k.spec() && filepath.Join(home, e.Name()) != k.dir {
			os.RemoveAll(filepath.Join(home, e.Name()))
		}
	}
}
