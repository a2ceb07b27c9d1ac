//go:build linux

package efdtest

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/asleep"
	"golang.org/x/sys/unix"
)

// sleep is the state of a thread as /proc has it: a sleep, unless it runs or has
// ended.
type sleep struct {
	pid, tid int
	letter   byte // R, S, D, Z, …; 0: it has ended
	nr       int  // the system call, -1: none
	args     [6]uint64
	switches int // of its own will, so far
	gone     bool
}

// look reads the state of a thread. Call, letter and count are read one after
// the other: it is the same sleep only if a second look has the same.
func look(pid, tid int) (sleep, error) {
	s := sleep{pid: pid, tid: tid, nr: -1}
	state, err := asleep.Of(pid, tid)
	if err == nil {
		s.letter, s.nr = state.Letter, state.Nr
		var text []byte
		if text, err = os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", pid, tid)); err == nil {
			s.parse(string(text))
			s.switches, err = asleep.Switches(pid, tid)
		}
	}
	if err != nil && unix.Tgkill(pid, tid, 0) == unix.ESRCH {
		s.gone, err = true, nil
	}
	return s, err
}

func (s *sleep) parse(text string) {
	f := strings.Fields(text)
	if len(f) == 0 {
		return
	}
	nr, err := strconv.Atoi(f[0])
	if s.nr = nr; err != nil {
		s.nr = -1
		return
	}
	for i := range s.args {
		if i+1 < len(f) {
			s.args[i], _ = strconv.ParseUint(strings.TrimPrefix(f[i+1], "0x"), 16, 64)
		}
	}
}

// sleeps reports whether the thread sleeps in a system call that is not one of
// Go's own futexes.
func (s *sleep) sleeps() bool {
	if asleep.Foreign() { // the numbers are the host's
		return s.letter == 'S'
	}
	return s.letter == 'S' && s.nr >= 0 && s.call() != "futex"
}

func (s *sleep) ended() bool { return s.gone || s.letter == 'Z' || s.letter == 'X' }

// call names the system call.
func (s *sleep) call() string { return callName(s.nr) }

// same reports whether two looks saw one sleep, without a break.
func (s *sleep) same(o *sleep) bool {
	return s.sleeps() && o.sleeps() && s.nr == o.nr && s.args == o.args && s.switches == o.switches
}

// String is "in ppoll", or the state of a thread in no call.
func (s *sleep) String() string {
	switch {
	case s.ended():
		return "ended"
	case s.letter == 'R':
		return "running"
	case s.nr < 0:
		return fmt.Sprintf("in state %c, in no system call", s.letter)
	case s.call() == "":
		return fmt.Sprintf("in system call %d", s.nr)
	}
	return "in " + s.call()
}

// target is a descriptor that a thread waits for, and the events.
type target struct {
	description
	events int16
	epoll  bool // it waits for it through an epoll
	edge   bool // and there for edges, which may have been taken
}

// targets are the descriptors that a sleep waits for.
func (s *sleep) targets() (out []target) {
	if !s.sleeps() || asleep.Foreign() {
		return nil
	}
	add := func(fd int, events int16) {
		out = append(out, target{description: describe(s.pid, fd), events: events})
	}
	switch family(s.call()) {
	case "ppoll":
		for _, p := range s.pollFDs() {
			if p.FD >= 0 {
				add(int(p.FD), int16(p.Events))
			}
		}
	case "pselect6":
		for i, events := range []int16{unix.POLLIN, unix.POLLOUT, unix.POLLPRI} {
			for _, fd := range s.set(s.args[i+1]) {
				add(fd, events)
			}
		}
	case "epoll_wait":
		add(int(int32(s.args[0])), unix.POLLIN)
		out = append(out, s.registered(int(int32(s.args[0])), 0)...)
	case "read", "readv", "preadv2", "recvfrom", "recvmsg", "accept", "accept4":
		add(int(int32(s.args[0])), unix.POLLIN)
	case "write", "writev", "sendto", "sendmsg":
		add(int(int32(s.args[0])), unix.POLLOUT)
	}
	return out
}

// maxNested bounds the epolls in epolls; the kernel's own limit is 4.
const maxNested = 5

// registered are the descriptors of an epoll.
func (s *sleep) registered(epfd, depth int) (out []target) {
	if depth > maxNested {
		return nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", s.pid, epfd))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // tfd: 5 events: 19 data: …
		if len(f) < 4 || f[0] != "tfd:" {
			continue
		}
		fd, err := strconv.Atoi(f[1])
		events, err2 := strconv.ParseUint(f[3], 16, 32)
		armed := int16(events & (unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLPRI | unix.EPOLLRDHUP))
		if err != nil || err2 != nil || armed == 0 { // or ONESHOT has disarmed it
			continue
		}
		t := target{description: describe(s.pid, fd), events: armed, epoll: true, edge: events&unix.EPOLLET != 0}
		out = append(out, t)
		if t.kind == "epoll" {
			out = append(out, s.registered(fd, depth+1)...)
		}
	}
	return out
}

// maxPolled bounds the descriptors that are read from a sleeper's memory.
const maxPolled = 1 << 12

func (s *sleep) pollFDs() []efd.PollFD {
	n := min(int(s.args[1]), maxPolled)
	if n <= 0 {
		return nil
	}
	fds := make([]efd.PollFD, n)
	size := int(unsafe.Sizeof(fds[0]))
	b := s.memory(s.args[0], n*size)
	if b == nil {
		return nil
	}
	for i := range fds {
		p := b[i*size:]
		fds[i] = efd.PollFD{FD: int32(binary.NativeEndian.Uint32(p)),
			Events: efd.PollEvents(binary.NativeEndian.Uint16(p[4:]))}
	}
	return fds
}

// set are the numbers in a set of select. Words are as long as a pointer.
func (s *sleep) set(addr uint64) (fds []int) {
	const word = int(unsafe.Sizeof(uintptr(0)))
	n := min(int(int32(s.args[0])), maxPolled*8)
	if addr == 0 || n <= 0 {
		return nil
	}
	b := s.memory(addr, (n+8*word-1)/(8*word)*word)
	for fd := range n {
		w := fd / (8 * word) * word
		if w+word > len(b) {
			break
		}
		v := uint64(binary.NativeEndian.Uint32(b[w:]))
		if word == 8 {
			v = binary.NativeEndian.Uint64(b[w:])
		}
		if v>>(fd%(8*word))&1 != 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// memory reads a process's memory, through the kernel: it may be gone.
func (s *sleep) memory(addr uint64, size int) []byte {
	b := make([]byte, size)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(size)
	n, err := unix.ProcessVMReadv(s.pid, local, []unix.RemoteIovec{{Base: uintptr(addr), Len: size}}, 0)
	if err != nil || n != size {
		return nil
	}
	return b
}

// on returns the objects among the targets, each once.
func (k *K) on(ts []target) (objects []*Object) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range ts {
		if o := k.named(t.description); o != nil && !slices.Contains(objects, o) {
			objects = append(objects, o)
		}
	}
	return objects
}

// named returns the object of a description. k.mu is held.
func (k *K) named(d description) *Object {
	if d.id >= 0 {
		return k.eventfd(d.id)
	}
	for _, o := range k.objects {
		if o.closed == 0 && d.same(o) {
			return o
		}
	}
	return nil
}
