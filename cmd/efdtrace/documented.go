//go:build linux

package main

import (
	"fmt"
	"regexp"
	"sync"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/running"
)

// runningKernel is the version of the kernel that this program runs on, "" if
// it cannot be read.
func runningKernel() string {
	if _, v, err := running.Kernel(); err == nil {
		return v.String()
	}
	return ""
}

// documented returns the lookup of paths for a kernel version; "" is the
// running kernel, whose symbols then choose between variants. The catalogue and
// the symbols are read at the first use.
func documented(kernel string) (func(name string) *ktrace.Path, error) {
	running := kernel == ""
	if running {
		kernel = runningKernel()
	}
	v, err := namedKernel(kernel)
	if err != nil {
		return nil, err
	}
	symbols := sync.OnceValue(func() ktrace.SymbolSet {
		if !running {
			return nil
		}
		if t, _ := ksym.Load(); t != nil { // names decide, even if the addresses are hidden
			return t
		}
		return nil
	})
	return func(name string) *ktrace.Path {
		p, err := catalog.Default().Path(name, v, symbols())
		if err != nil {
			return nil // not every file that is waited on has a path of its own
		}
		return p
	}, nil
}

// surelyReviewed is a version that no oldest reviewed kernel is newer than, so
// that the catalogue need not be asked.
var surelyReviewed = ktrace.Version{Major: 5}

// tooOld is why no path holds for a kernel, "" if it is not older than all that
// were reviewed.
func tooOld(kernel string) string {
	v, err := ktrace.ParseVersion(kernel)
	if err == nil && v.Compare(surelyReviewed) >= 0 {
		return ""
	}
	if trees := catalog.Default().Trees(); err == nil && len(trees) > 0 && v.Compare(trees[0].Version) < 0 {
		return fmt.Sprintf("no kernel paths: Linux %s is older than the oldest kernel whose paths are known, %s", v, trees[0].Version)
	}
	return ""
}

var kernelForm = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)*([-+~_].*)?$`)

// namedKernel parses a version that was typed, or taken from uname -r.
func namedKernel(s string) (ktrace.Version, error) {
	v, err := ktrace.ParseVersion(s)
	if err != nil || !kernelForm.MatchString(s) {
		return v, fmt.Errorf("kernel version %q: want MAJOR.MINOR or MAJOR.MINOR.PATCH in numbers, such as 6.18 or 5.10.262, or the output of uname -r", s)
	}
	return v, nil
}
