//go:build linux && (amd64 || 386)

package efd

// EpollEvent is struct epoll_event, bit for bit: 12 bytes on x86, 16 elsewhere.
// See epoll_event(3type).
type EpollEvent struct {
	events uint32
	data   [2]uint32
}

// NewEpollEvent returns an event as [Epoll.Wait] stores it, for tests of event
// handlers.
func NewEpollEvent(events EpollEvents, data uint64) EpollEvent {
	return EpollEvent{uint32(events), [2]uint32{uint32(data), uint32(data >> 32)}}
}

// Events returns the ready events.
func (ev EpollEvent) Events() EpollEvents { return EpollEvents(ev.events) }

// Data returns the data given to Add or Modify with the descriptor.
func (ev EpollEvent) Data() uint64 { return uint64(ev.data[0]) | uint64(ev.data[1])<<32 }
