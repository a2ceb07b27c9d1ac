//go:build linux

package observe

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// ask looks up the objects of a wake: the waker's fd, and the objects that the
// sleeper waits for, as far as its registers and epoll_ctl show them.
func (p *Pipeline) ask(h *pending) {
	j := h.j
	if j.FD >= 0 {
		h.ob = p.objects.ask(j.Waker.PID, j.Waker.TID, j.FD, j.Time)
	}
	if fd := j.WakeeFD(); fd >= 0 && p.k.isCall(j.Wakee.Call, j.WakeeSyscall) {
		if strings.HasPrefix(j.WakeeSyscall, "epoll_") {
			h.on = p.registered(j, fd)
		} else if ob := p.objects.ask(j.Wakee.PID, j.Wakee.TID, fd, j.Time); ob != nil {
			h.on = []*object{ob}
		}
	}
	for _, ob := range append(slices.Clone(h.on), h.ob) {
		if ob != nil {
			h.until = max(h.until, ob.asked, ob.idAsked)
		}
	}
}

// maxRegistered bounds the descriptors of an epoll that are asked about.
const maxRegistered = 16

// registered returns the objects that an epoll watches, nil unless all are
// known.
func (p *Pipeline) registered(j *Judged, epoll int) (out []*object) {
	set := p.objects.epolls.of(fdKey{j.Wakee.PID, 0, epoll}, j.Time)
	if len(set) > maxRegistered || len(j.Callbacks) != 2 || !through(j.Callbacks[:1], "epoll") {
		return nil
	}
	for fd := range set {
		ob := p.objects.ask(j.Wakee.PID, j.Wakee.TID, fd, j.Time)
		if ob == nil {
			return nil
		}
		out = append(out, ob)
	}
	return out
}

// name sets the object of a wake: the one that the sleeper waits for. An
// eventfd has one queue, so it is the one that was written or read. A socket
// and a pipe wake the other end, and the waker's fd is the By of the wake.
func (p *Pipeline) name(h *pending) {
	now := p.t.now
	if h.ob != nil {
		h.j.By = h.ob.name(now)
	}
	source := ""
	if len(h.j.WakePaths) > 0 {
		source = h.j.WakePaths[0]
	}
	if through(h.j.Callbacks, "io_uring") {
		return // an io_uring waits for the object, and the sleeper for the io_uring
	}
	if source == "eventfd_write" || source == "eventfd_read" {
		h.j.Object, h.j.By = h.eventfd(now, p.objects.tables.split[h.j.Waker.PID]), ""
		if h.j.EventFD = h.ob.number(now); len(h.on) == 1 && h.j.EventFD < 0 {
			h.j.EventFD = h.on[0].number(now)
		}
		return
	}
	var found []*object
	for _, ob := range h.on {
		what := ob.name(now)
		if what == "" {
			return // it may be the one
		}
		// A FIFO has the name of its file.
		if kind := objectOf(source); kind == "" || strings.HasPrefix(what, kind+" ") || kind == "pipe" && strings.HasPrefix(what, "/") {
			found = append(found, ob)
		}
	}
	if len(found) == 1 && (len(h.on) == 1 || objectOf(source) != "") {
		h.j.Object, h.j.EventFD = found[0].name(now), found[0].number(now)
	}
}

// eventfd is the eventfd that was written or read, by the sleeper's own number
// if that is known, by the waker's in the same table, and else by its id alone.
func (h *pending) eventfd(now int64, split bool) string {
	if len(h.on) == 1 && h.on[0].kind == "eventfd" {
		if what := h.on[0].name(now); what != "" {
			return what
		}
	}
	if h.ob == nil || h.ob.kind != "eventfd" {
		return ""
	}
	if what := h.ob.name(now); h.j.Waker.PID == h.j.Wakee.PID && !split || what == "" {
		return what
	}
	if h.ob.id == "" || h.ob.idBad || h.ob.idAsked > now {
		return ""
	}
	return "eventfd (id " + h.ob.id + ")"
}

// objectOf returns /proc's name for the files whose queues a documented path
// wakes, or "" if the path does not determine it.
func objectOf(source string) string {
	if kind := catalog.DefaultModel().Object(source); kind != "eventfd" {
		return kind
	}
	return "" // its queue may be that of another object, to which the eventfd belongs
}
