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
	k = &Kernel{Release: release(), Arch: runtime.GOARCH, Catalog: catalog.Default()}
	if k.Version, err = ktrace.KernelVersion(k.Release, unameVersion()); err != nil {
		return k, nil, err
	}
	table, err = ksym.Load()
	if table != nil {
		k.Symbols = table
	}
	return k, table, err
}

func unameVersion() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Version[:])
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
