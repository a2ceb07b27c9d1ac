//go:build linux

package watch

import (
	"os"
	"runtime"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"golang.org/x/sys/unix"
)

// Try tries all requirements of watching: those of Probe, and that the
// allocation of an eventfd is seen, which gives its address.
func Try(syms *ksym.Table) error {
	if err := needSymbols(syms); err != nil {
		return err
	}
	if err := Probe(); err != nil {
		return err
	}
	return TryAlloc(syms)
}

// TryAlloc tries whether the allocation of an eventfd that this thread makes is
// seen.
func TryAlloc(syms *ksym.Table) error {
	if err := needSymbols(syms); err != nil {
		return err
	}
	s, err := prepare(Config{Symbols: syms, Ring: os.Getpagesize()})
	if err != nil {
		return err
	}
	defer s.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := unix.Gettid()
	if _, err := s.lookOut(tid); err != nil {
		return err
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd2", err)
	}
	unix.Close(fd)
	if err := s.rings.Drain(); err != nil {
		return err
	}
	if len(s.fresh) == 0 {
		return &ktrace.AccessError{
			Tier: "watch", Silent: true,
			Missing: "kmem:kmalloc opens, and does not deliver: of the allocation of an eventfd of this program, as " + s.layout.from + " has it, there is no record",
		}
	}
	return nil
}

func needSymbols(syms *ksym.Table) error {
	e := ksym.Missing(syms)
	if e == nil {
		return nil
	}
	return &ktrace.AccessError{
		Tier: "watch", Missing: "the address of an eventfd is known from its allocation, and " + e.Missing,
		Change: e.Change, Root: e.Root, Err: e.Err,
	}
}
