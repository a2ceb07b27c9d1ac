//go:build linux

package catalog

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/efd-go/efd/internal/plain"
)

// Bounds of what is taken from a catalogue, which may be somebody else's.
const (
	maxFile     = 8 << 20
	maxItem     = 64 << 10 // bytes of a line with its continuation lines
	maxArg      = 128      // bytes of the argument of a part
	maxExpanded = 4 << 20  // bytes of a path with all the parts that it uses
)

// readFile reads a regular file of a catalogue.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Lstat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", name)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxFile)
	}
	return b, nil
}

// checkText refuses what a terminal would act on.
func checkText(s string, at place) error {
	if p := plain.Text(strings.ReplaceAll(s, "\t", " ")); len(p) != len(s) {
		return fmt.Errorf("%s: a control character, or bytes that are not UTF-8: %s", at, p[:min(len(p), 80)])
	}
	return nil
}

// checkUses refuses parts that use themselves, and a document that is too large
// with what it uses.
func (c *Catalog) checkUses() error {
	const underway = -1
	sizes := map[*document]int{}
	var size func(d *document) (int, error)
	size = func(d *document) (int, error) {
		if n, known := sizes[d]; n == underway {
			return 0, fmt.Errorf("%s: part %s uses itself", d.where, d.name)
		} else if known {
			return n, nil
		}
		sizes[d] = underway
		n := 0
		for _, it := range d.items {
			if it.use == "" {
				e := it.edge
				for _, s := range []string{e.Caller, e.Callee, e.Note, e.SetBy} {
					n += len(s) + strings.Count(s, "$1")*maxArg
				}
				n += 64
				continue
			}
			if len(it.arg) > maxArg {
				return 0, fmt.Errorf("%s: an argument of %d bytes, and there may be %d", it.where, len(it.arg), maxArg)
			}
			used, err := size(c.parts[it.use])
			if err != nil {
				return 0, err
			}
			n += used + 64
			if n > maxExpanded {
				return 0, fmt.Errorf("%s: %s is longer than %d bytes with the parts that it uses", it.where, d.name, maxExpanded)
			}
		}
		sizes[d] = n
		return n, nil
	}
	for _, set := range []map[string]*document{c.parts, c.paths} {
		for _, d := range set {
			if _, err := size(d); err != nil {
				return err
			}
		}
	}
	return nil
}
