//go:build linux

package watch

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

// useMemory has the kernel allocate and write memory of an eventfd's size.
func useMemory(t *testing.T) {
	t.Helper()
	const session = -3 // KEY_SPEC_SESSION_KEYRING
	typ, _ := unix.BytePtrFromString("user")
	payload := make([]byte, 40)
	for i := range 60 {
		name, _ := unix.BytePtrFromString("efd-test-" + string(rune('0'+i)))
		to := session
		if _, _, e := unix.Syscall6(unix.SYS_ADD_KEY, uintptr(unsafe.Pointer(typ)), uintptr(unsafe.Pointer(name)),
			uintptr(unsafe.Pointer(&payload[0])), uintptr(len(payload)), uintptr(to), 0); e != 0 {
			testenv.Require(t, "keys", e)
		}
	}
}

// An eventfd that ended before anything listened for its end is not watched: its
// memory is another's.
func TestEndedBeforeArmed(t *testing.T) {
	pid := os.Getpid()
	s := open(t, Config{Wanted: func(p, _ int) bool { return p == pid }, Ring: 1 << 20})
	var fds []int
	for range 30 {
		fd, err := eventfd()
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	read := func() (ev []ktrace.Event) {
		ev, err := s.Read(source.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	var ev []ktrace.Event
	for range 10 {
		ev = append(ev, read()...)
		useMemory(t)
	}
	ev = append(ev, read()...)
	// The watchpoints are free again for one that lives. Each is tried once, as it
	// is made: the dead may have them for a moment yet.
	fd := -1
	defer func() { unix.Close(fd) }()
	for deadline := time.Now().Add(10 * time.Second); s.Armed() == 0; {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for the watchpoints of the dead: %q", s.Unwatched())
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		var err error
		if fd, err = eventfd(); err != nil {
			t.Fatal(err)
		}
		ev = append(ev, read()...)
	}
	if n := s.Armed(); n != 1 {
		t.Errorf("%d eventfds count as watched, and 1 lives", n)
	}
	if why := strings.Join(s.Unwatched(), "; "); !strings.Contains(why, "had ended before ") {
		t.Errorf("of the eventfds that went unwatched it says %q", why)
	}
	for _, e := range append(ev, finish(t, s)...) {
		if e.Kind == ktrace.Watch {
			t.Errorf("TID %d wrote to %s of an eventfd that had ended: %s", e.TID, e.Field, names(e.Stack))
		}
	}
}

// A process that runs out of descriptors goes on without watchpoints, and what
// it could not watch is said.
func TestOutOfDescriptors(t *testing.T) {
	pid := os.Getpid()
	s := open(t, Config{Wanted: func(p, _ int) bool { return p == pid }})
	fd, err := eventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: uint64(fd) + 1, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err = s.Read(source.Now(), nil)
	if e := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); e != nil {
		t.Fatal(e)
	}
	if err != nil {
		t.Errorf("the observation ends: %v", err)
	}
	if why := s.Unwatched(); len(why) != 1 || !strings.Contains(why[0], "changes of 1 further eventfd: too many open files") {
		t.Errorf("why an eventfd is not watched: %q", why)
	}
	if _, err := s.Read(source.Now(), nil); err != nil || errors.Is(err, unix.EMFILE) {
		t.Error(err)
	}
}
