//go:build linux

package efdtest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Object is a descriptor with a name. An eventfd is known by its id: under every
// number, and in every process.
type Object struct {
	k      *K
	name   string
	fd     int // that it had when it got the name
	id     int // of an eventfd, -1: none or not known
	kind   string
	link   string        // of /proc/self/fd
	named  time.Duration // since when it has the name
	closed time.Duration // 0: not seen to be
}

// Name gives c a name in failures, timelines and golden files. c is an
// *efd.EventFD, an *efd.Epoll, an *os.File or a connection of package net.
func (k *K) Name(c syscall.Conn, name string) *Object {
	k.Helper()
	o := &Object{k: k, name: name, named: mono(), fd: -1, id: -1}
	fail := func(reason string) *Object {
		k.fatal("Name %q: %s", name, reason)
		return o
	}
	if c == nil {
		return fail("c is nil")
	}
	if problem := badName(name); problem != "" {
		return fail(problem)
	}
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { o.fd = int(fd) })
	}
	if err != nil {
		return fail(err.Error())
	}
	d := describe(os.Getpid(), o.fd)
	o.id, o.kind, o.link = d.id, d.kind, d.link
	k.mu.Lock()
	for _, old := range k.objects {
		switch {
		case old.name == name:
			k.mu.Unlock()
			return fail("another object has the name")
		case old.closed == 0 && (old.fd == o.fd || old.id >= 0 && old.id == o.id && !old.open()):
			old.closed = mono() // by a call that is not efd's
		}
	}
	k.objects = append(k.objects, o)
	k.mu.Unlock()
	k.endFirst()
	return o
}

// badName is the rule that a name breaks.
func badName(name string) string {
	switch {
	case name == "":
		return "the name is empty"
	case strings.ContainsAny(name, "\n\r\t\x00"):
		return "the name has a control character"
	}
	return ""
}

// badCall is the rule that the name of a function breaks, or its being nil.
func badCall(name string, isNil bool) string {
	if problem := badName(name); problem != "" || !isNil {
		return problem
	}
	return "fn is nil"
}

// open reports whether the object still has the number that it was named with.
func (o *Object) open() bool { return describe(os.Getpid(), o.fd).same(o) }

// objectOf returns the object of a number of this process, nil if it has no
// name. k.mu is held.
func (k *K) objectOf(fd int) *Object {
	for _, o := range k.objects {
		if o.fd == fd && o.closed == 0 {
			return o
		}
	}
	eventfds := false
	for _, o := range k.objects {
		eventfds = eventfds || o.id >= 0
	}
	if !eventfds {
		return nil
	}
	return k.eventfd(numbers.of(fd))
}

// eventfd returns the object of an id, the newest first. k.mu is held.
func (k *K) eventfd(id int) (found *Object) {
	for _, o := range k.objects {
		if id >= 0 && o.id == id && (found == nil || o.closed == 0) {
			found = o
		}
	}
	return found
}

// String is the object's name, number and id.
func (o *Object) String() string {
	if o.id >= 0 {
		return fmt.Sprintf("%s is %s %d (id %d)", o.name, o.kind, o.fd, o.id)
	}
	return fmt.Sprintf("%s is %s %d", o.name, o.kind, o.fd)
}

// among reports whether one of the objects is in on, or on is empty.
func among(objects, on []*Object) bool {
	return len(on) == 0 || slices.ContainsFunc(objects, func(o *Object) bool { return slices.Contains(on, o) })
}

// counter describes the state of an object: its counter, or its readiness.
func (o *Object) counter() string {
	if o.closed != 0 || !o.open() {
		return "closed"
	}
	if o.kind == "eventfd" {
		if n, ok := fdinfo(os.Getpid(), o.fd, "eventfd-count:"); ok {
			if v, err := strconv.ParseUint(n, 16, 64); err == nil {
				return fmt.Sprintf("counter %d", v)
			}
		}
	}
	if ready(o.fd, unix.POLLIN) {
		return "readable"
	}
	return "not readable"
}

// ready polls a descriptor of this process without waiting.
func ready(fd int, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(fds, 0)
		if err == unix.EINTR {
			continue
		}
		return err == nil && n == 1 && fds[0].Revents&unix.POLLNVAL == 0
	}
}

// description is a descriptor as /proc has it.
type description struct {
	pid, fd    int
	kind, link string
	id         int
}

// describe reads a descriptor of a process.
func describe(pid, fd int) description {
	d := description{pid: pid, fd: fd, id: -1}
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	if err != nil {
		return d
	}
	d.link = link
	name, _, _ := strings.Cut(strings.TrimPrefix(link, "anon_inode:"), ":")
	d.kind = strings.Trim(name, "[]")
	if strings.HasPrefix(link, "/") {
		d.kind = "file"
	}
	switch d.kind {
	case "eventpoll":
		d.kind = "epoll"
	case "eventfd":
		if text, ok := fdinfo(pid, fd, "eventfd-id:"); ok {
			if id, err := strconv.Atoi(text); err == nil {
				d.id = id
			}
		}
	}
	return d
}

// same reports whether a descriptor is the object.
func (d description) same(o *Object) bool {
	switch {
	case d.kind == "" || d.kind != o.kind:
		return false
	case d.id >= 0 || o.id >= 0:
		return d.id == o.id
	case !strings.HasPrefix(d.link, "anon_inode:"):
		return d.link == o.link
	}
	return d.pid == os.Getpid() && d.fd == o.fd
}

// fdinfo returns a field of a descriptor.
func fdinfo(pid, fd int, field string) (string, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field); ok {
			return strings.TrimSpace(v), true
		}
	}
	return "", false
}
