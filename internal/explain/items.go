//go:build linux

package explain

import (
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// sayEvents names what epoll_wait handed out: by the descriptor if the log has
// its registration, else by its data as the log prints it. ep may be nil. It
// reports whether all of it is registered edge-triggered or one-shot, or
// unknown.
func (x *Explainer) sayEvents(list []byte, ep *file) (edge bool) {
	n := &x.note
	edge = true
	all, odd, start, fds := 0, 0, len(n.Summary), len(n.FDs)
	strace.EpollItems(list, func(it strace.EpollItem) {
		r := ep.registered(it.Data)
		kind := ""
		if r != nil {
			kind = r.file.kind
			edge = edge && (r.edge || r.once)
		}
		n.ask(kind)
		if oddEvents(it.Events) {
			odd++
		}
		if all++; all <= maxSaid {
			n.sayItem(it, r)
		}
	})
	if all > maxSaid && odd > 0 { // these have their places first
		n.Summary, n.FDs = n.Summary[:start], n.FDs[:fds]
		others := maxSaid - min(odd, maxSaid)
		odd = maxSaid - others
		for _, first := range [2]bool{true, false} {
			places := &others
			if first {
				places = &odd
			}
			strace.EpollItems(list, func(it strace.EpollItem) {
				if *places > 0 && oddEvents(it.Events) == first {
					*places--
					n.sayItem(it, ep.registered(it.Data))
				}
			})
		}
	}
	n.sayMore(all - maxSaid)
	return edge
}

// sayItem names an event that epoll_wait handed out for a registration, nil if that is
// not known.
func (n *Note) sayItem(it strace.EpollItem, r *registration) {
	n.say(", ")
	if r != nil {
		n.sayFile(r.file, r.fd)
		n.fd(r.fd)
	} else {
		n.sayData(it)
	}
	n.say(" ")
	n.sayMask(it.Events, true)
}

// sayData writes data of an unknown registration. A small number is most often
// the descriptor.
func (n *Note) sayData(it strace.EpollItem) {
	n.say("data ")
	n.sayBytes(it.Text)
	if low := uint32(it.Data); low > 2 && low < 1<<16 {
		n.say(" (perhaps fd ")
		n.sayInt(int64(low))
		n.say(")")
	}
}

// registered is the registration that data stands for; nil if that is not
// known, or if it stands for several.
func (f *file) registered(data uint64) *registration {
	if f == nil {
		return nil
	}
	target := f.items[data]
	if target == nil {
		return nil
	}
	for _, other := range f.alike[data] {
		if other.registeredAs(f, data) {
			return nil
		}
	}
	var found *registration
	for i := range target.regs {
		if r := &target.regs[i]; r.epoll == f && r.data == data {
			if found != nil {
				return nil
			}
			found = r
		}
	}
	return found
}
