//go:build linux

package observe

import (
	"runtime"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/running"
)

// ThisKernel returns the running kernel, with its symbols as far as they are
// readable. If err is not nil, the kernel is usable all the same, and err names
// the missing part.
func ThisKernel() (k *Kernel, table *ksym.Table, err error) {
	k = &Kernel{Arch: runtime.GOARCH, Catalog: catalog.Default()}
	if k.Release, k.Version, err = running.Kernel(); err != nil {
		return k, nil, err
	}
	table, err = ksym.Load()
	if table != nil {
		k.Symbols = table
	}
	return k, table, err
}

// Observable is nil if the ways into a kernel are documented for programs of
// an architecture, as GOARCH has it, and else an *ktrace.AccessError. A 32-bit
// program on a 64-bit kernel is none of them.
func Observable(arch string) error {
	if arch == "amd64" || arch == "arm64" {
		return nil
	}
	return &ktrace.AccessError{Tier: "architecture", Missing: "the documented ways into the kernel are those of 64-bit programs on x86-64 and arm64, and this program is built for " + arch,
		Change: "build it for amd64 or arm64"}
}
