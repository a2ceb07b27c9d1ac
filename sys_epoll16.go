//go:build linux && !(amd64 || 386)

package efd

// EpollEvent is struct epoll_event, bit for bit: 12 bytes on x86, 16 elsewhere.
// See epoll_event(3type).
type EpollEvent struct {
	events uint32
	_      uint32
	data   uint64
}

// NewEpollEvent returns an event as [Epoll.Wait] stores it, for tests of event
// handlers.
func NewEpollEvent(events EpollEvents, data uint64) EpollEvent {
	return EpollEvent{events: uint32(events), data: data}
}

// Events returns the ready events.
func (ev EpollEvent) Events() EpollEvents { return EpollEvents(ev.events) }

// Data returns the data given to Add or Modify with the descriptor.
func (ev EpollEvent) Data() uint64 { return ev.data }
