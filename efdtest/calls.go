//go:build linux

package efdtest

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// call is a system call of efd's, with the names that it had then.
type call struct {
	*efd.Call
	goid int // 0: nobody asked
	refs []ref
}

// ref is a descriptor of a call and its object.
type ref struct {
	fd int
	o  *Object
}

func (c *call) end() time.Duration { return c.Mono + c.Duration }

// on returns the object of a number, nil if it has no name.
func (c *call) on(fd int) *Object {
	for _, r := range c.refs {
		if r.fd == fd {
			return r.o
		}
	}
	return nil
}

// about reports whether the call is about one of the objects, or about any if
// there are none.
func (c *call) about(on []*Object) bool {
	return len(on) == 0 || slices.ContainsFunc(c.refs, func(r ref) bool { return r.o != nil && slices.Contains(on, r.o) })
}

// took reports whether the call moved something: a counter, or events.
func (c *call) took() bool {
	if c.Errno != 0 || c.Ret <= 0 {
		return false
	}
	return c.reads() || c.waits() || c.Syscall == "write"
}

func (c *call) reads() bool { return c.Syscall == "read" || c.Syscall == "preadv2" }

// waits reports whether the call waits for descriptors.
func (c *call) waits() bool { return waitsFor(c.Syscall) }

func waitsFor(name string) bool {
	return slices.Contains([]string{"ppoll", "pselect6", "epoll_wait"}, family(name))
}

// family is one name for the variants of a call.
func family(name string) string {
	switch name = strings.TrimSuffix(name, "_time64"); name {
	case "poll":
		return "ppoll"
	case "select":
		return "pselect6"
	case "epoll_pwait", "epoll_pwait2":
		return "epoll_wait"
	}
	return name
}

// tracing is a call on its way to the tests that it concerns.
type tracing struct {
	c    *efd.Call
	fds  []int
	goid int
}

func traced(c *efd.Call) *tracing { return &tracing{c: c, fds: descriptors(c)} }

// goroutine is the ID of the one that made the call.
func (t *tracing) goroutine() int {
	if t.goid == 0 {
		t.goid, _ = goroutine()
	}
	return t.goid
}

// settle has numbers that were closed or made forget their objects.
func (t *tracing) settle() {
	switch {
	case t.c.Syscall == "close":
		numbers.drop(t.c.FD)
	case t.c.Errno != 0:
	case t.c.Syscall == "eventfd2", t.c.Syscall == "epoll_create1", strings.HasPrefix(t.c.Syscall, "fcntl"):
		numbers.drop(t.c.Ret)
	}
}

// descriptors are the numbers that a call names.
func descriptors(c *efd.Call) (fds []int) {
	add := func(text string) {
		if fd, err := strconv.Atoi(text); err == nil && fd >= 0 && !slices.Contains(fds, fd) {
			fds = append(fds, fd)
		}
	}
	if c.FD >= 0 {
		fds = append(fds, c.FD)
	}
	switch family(c.Syscall) {
	case "epoll_ctl":
		if len(c.Args) > 2 {
			add(c.Args[2].In)
		}
	case "ppoll":
		if len(c.Args) > 0 {
			for part := range strings.SplitSeq(c.Args[0].In, "fd=") {
				number, _, _ := strings.Cut(part, ",")
				add(strings.TrimRight(number, "} ]"))
			}
		}
	case "pselect6":
		for _, a := range c.Args[min(1, len(c.Args)):min(4, len(c.Args))] {
			for part := range strings.FieldsSeq(strings.Trim(a.In, "[]")) {
				add(part)
			}
		}
	}
	return fds
}

// maxCalls bounds the calls that a test keeps.
const maxCalls = 1 << 15

// trace keeps a call that concerns the test.
func (k *K) trace(t *tracing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return
	}
	c := &call{Call: t.c}
	named := false
	for _, fd := range t.fds {
		o := k.objectOf(fd)
		named = named || o != nil
		c.refs = append(c.refs, ref{fd, o})
	}
	if len(k.goroutines) > 0 || named && k.actorOf(c) == nil {
		c.goid = t.goroutine()
	}
	if !named && k.actorOf(c) == nil {
		return
	}
	if c.Syscall == "close" {
		for _, r := range c.refs {
			if r.o != nil && r.o.fd == r.fd {
				r.o.closed = c.end()
			}
		}
	}
	if len(k.calls) >= maxCalls {
		k.calls = append(k.calls[:0:0], k.calls[maxCalls/4:]...)
		k.dropped += maxCalls / 4
	}
	k.calls = append(k.calls, c)
}

// numbers are the ids of eventfds by number, of this process.
var numbers = idCache{ids: map[int]int{}}

type idCache struct {
	mu  sync.Mutex
	ids map[int]int
}

// of returns the id of the eventfd that has a number, -1 if it is none.
func (n *idCache) of(fd int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[fd]; ok {
		return id
	}
	d := describe(unix.Getpid(), fd)
	n.ids[fd] = d.id
	return d.id
}

func (n *idCache) drop(fd int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.ids, fd)
}

func (n *idCache) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.ids)
}
