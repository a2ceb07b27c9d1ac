//go:build linux

package observe

import (
	"runtime"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"golang.org/x/sys/unix"
)

// ThisKernel is the running kernel, with its symbols as far as they can be
// had: where err is not nil the kernel is usable all the same, and err says
// what it does not know.
func ThisKernel() (k *Kernel, table *ksym.Table, err error) {
	var u unix.Utsname
	unix.Uname(&u) // fails for a bad address alone
	k = &Kernel{Release: unix.ByteSliceToString(u.Release[:]), Arch: runtime.GOARCH, Catalog: catalog.Default()}
	if k.Version, err = ktrace.KernelVersion(k.Release, unix.ByteSliceToString(u.Version[:])); err != nil {
		return k, nil, err
	}
	table, err = ksym.Load()
	if table != nil {
		k.Symbols = table
	}
	return k, table, err
}
