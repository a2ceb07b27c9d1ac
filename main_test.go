//go:build linux

package efd

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// leakStacks, in the environment, has TestMain note where each descriptor is
// made, which a run that leaked asks of a second one.
const leakStacks = "EFD_LEAK_STACKS"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("EFD_STRACE_HELPER") != "" { // whose calls are counted
		os.Exit(m.Run())
	}
	for _, name := range []string{"test.fuzz", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			os.Exit(m.Run())
		}
	}
	// Go's poller makes descriptors of its own, once.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	before := openFiles()
	var made fdStacks
	if os.Getenv(leakStacks) != "" {
		defer AddTracer(made.note)()
	}
	status := m.Run()
	leaked := leaks(before)
	switch {
	case len(leaked) == 0:
	case os.Getenv(leakStacks) != "":
		made.print(leaked)
		status = 1
	default:
		fmt.Println("descriptors that no test closed:")
		for fd, link := range leaked {
			fmt.Printf("\t%d -> %s\n", fd, link)
		}
		if status == 0 {
			again := exec.Command(os.Args[0], os.Args[1:]...)
			again.Env = append(os.Environ(), leakStacks+"=1")
			again.Stderr = os.Stdout // it has the stacks, and stdout tests that mind a tracer
			again.Run()
		}
		status = 1
	}
	os.Exit(status)
}

// openFiles has what each open descriptor is.
func openFiles() map[int]string {
	list := map[int]string{}
	names, _ := os.ReadDir("/proc/self/fd")
	for _, n := range names {
		if link, err := os.Readlink("/proc/self/fd/" + n.Name()); err == nil {
			fd, _ := strconv.Atoi(n.Name())
			list[fd] = link
		}
	}
	return list
}

// leaks is what is open and was not before. What closes behind the tests'
// backs has a moment for it.
func leaks(before map[int]string) (list map[int]string) {
	for range 200 {
		list = openFiles()
		maps.DeleteFunc(list, func(fd int, link string) bool {
			return before[fd] == link || alwaysReady.has.Load() && fd == alwaysReady.fd
		})
		if len(list) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return list
}

// fdStacks has where the descriptors that the package made were made.
type fdStacks struct {
	mu    sync.Mutex
	stack map[int]string
}

func (s *fdStacks) note(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stack == nil {
		s.stack = map[int]string{}
	}
	switch {
	case slices.Contains([]string{"eventfd2", "epoll_create1", "openat"}, c.Syscall),
		strings.HasPrefix(c.Syscall, "fcntl") && c.Args[1].In == "F_DUPFD_CLOEXEC":
		s.stack[c.Ret] = string(debug.Stack())
	case c.Syscall == "close":
		fd, _ := strconv.Atoi(c.Args[0].In)
		delete(s.stack, fd)
	}
}

func (s *fdStacks) print(leaked map[int]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for fd, link := range leaked {
		where := s.stack[fd]
		if where == "" {
			where = "not by this package\n"
		}
		fmt.Fprintf(os.Stderr, "%d -> %s was made here:\n%s\n", fd, link, where)
	}
}
