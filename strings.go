//go:build linux

package efd

import (
	"github.com/efd-go/efd/internal/uapi"
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

// String is the events and the data: "EPOLLIN|EPOLLET, data 42".
func (ev EpollEvent) String() string { return sprintf("%s, data %d", ev.Events().String(), ev.Data()) }
