//go:build linux

package efd

import (
	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

var flagNames = uapi.Mask{Names: []uapi.Name{{Value: uint64(Semaphore), Name: "Semaphore"}, {Value: uint64(Blocking), Name: "Blocking"}}}

// String is the set of flags: "Semaphore|Blocking". Bits without a name are in
// hex.
func (f Flag) String() string { return flagNames.String(uint64(f)) }

// String names the handle by its descriptor: "eventfd 5".
func (e *EventFD) String() string {
	if e == nil {
		return "nil eventfd"
	}
	return e.d.name("eventfd")
}

// String names the handle by its descriptor: "epoll 6".
func (p *Epoll) String() string {
	if p == nil {
		return "nil epoll"
	}
	return p.d.name("epoll")
}

// name is kind and fd, whose number others do not learn by it.
func (d *descriptor) name(kind string) string {
	if d.closed() {
		return "closed " + kind
	}
	return sprintf("%s %d", kind, d.fd)
}

// String is the event as strace prints it: "{events=EPOLLIN, data={u32=42, u64=42}}".
func (ev EpollEvent) String() string { return uapiEvent(ev).String() }

// String is the entry as strace prints it before the call, and revents if there
// are some: "{fd=3, events=POLLIN, revents=POLLIN|POLLHUP}".
func (f PollFD) String() string {
	s := sprintf("{fd=%d, events=%s", f.FD, f.Events.String())
	if f.Revents != 0 {
		s += ", revents=" + f.Revents.String()
	}
	return s + "}"
}

// String is the registration: "fd 5: EPOLLIN|EPOLLERR|EPOLLHUP, data 42".
func (i Interest) String() string {
	return sprintf("fd %d: %s, data %d", i.FD, i.Events.String(), i.Data)
}

// String is the information as fdinfo has it: "eventfd-id 12, count 3,
// semaphore, O_NONBLOCK".
func (i Info) String() string {
	s := sprintf("count %d", i.Count)
	if i.ID >= 0 {
		s = sprintf("eventfd-id %d, ", i.ID) + s
	}
	if i.Semaphore {
		s += ", semaphore"
	}
	if i.Flags&unix.O_NONBLOCK != 0 {
		s += ", O_NONBLOCK"
	}
	return s
}

// String is the number of members: "pollset of 3".
func (s *PollSet) String() string {
	if s == nil {
		return "nil pollset"
	}
	c := s.get()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return "closed pollset"
	}
	return sprintf("pollset of %d", len(c.members))
}
