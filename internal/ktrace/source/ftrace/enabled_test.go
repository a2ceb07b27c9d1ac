//go:build linux

package ftrace

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// A tracer that is switched off for the whole system takes every write and
// traces nothing: it is not there, and one that is switched off meanwhile has
// lost what happened since.
func TestSwitchedOff(t *testing.T) {
	testenv.Exclusive(t, "ftrace_enabled")
	testenv.Require(t, "ftrace", Probe())
	s, err := Open(Config{Functions: []string{"eventfd_write"}, Symbols: exact{}, Tasks: []int{os.Getpid()}, NoGraph: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const file = "/proc/sys/kernel/ftrace_enabled"
	if err := os.WriteFile(file, []byte("0"), 0); err != nil {
		testenv.Require(t, "root", err)
	}
	defer os.WriteFile(file, []byte("1"), 0)
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(source.End, nil); err != nil {
		t.Fatal(err)
	}
	if l := s.Losses(); len(l) == 0 || l[0].Source != s.Tracer() || !s.Off() {
		t.Errorf("a call went untraced, lost %+v, found off %t", l, s.Off())
	}
	err = Probe()
	if ae, ok := errors.AsType[*ktrace.AccessError](err); !ok || !ae.Silent || !strings.Contains(ae.Missing+ae.Change, "kernel.ftrace_enabled") {
		t.Errorf("with the tracer off Probe says %v", err)
	}
}
