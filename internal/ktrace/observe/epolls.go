//go:build linux

package observe

import (
	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// epolls are the registrations of the epolls that were made under observation,
// as far as nothing but epoll_ctl changed them.
type epolls struct {
	sets    map[fdKey]map[int]bool
	asking  map[int]registering // by thread
	changed map[fdKey]int64     // when a registration came or went last
}

// registering is an epoll_ctl that has not ended.
type registering struct {
	epoll fdKey
	op    int
	fd    int
}

func (e *epolls) made(k fdKey) {
	if e.sets == nil || len(e.sets) >= maxObjects {
		e.sets, e.asking, e.changed = map[fdKey]map[int]bool{}, map[int]registering{}, map[fdKey]int64{}
	}
	e.sets[k] = map[int]bool{}
}

func (e *epolls) enter(ev *ktrace.Event) {
	k := fdKey{ev.PID, 0, int(int32(ev.Args[0]))}
	if e.sets[k] != nil {
		e.asking[ev.TID] = registering{k, int(int32(ev.Args[1])), int(int32(ev.Args[2]))}
	}
}

func (e *epolls) exit(ev *ktrace.Event) {
	r, ok := e.asking[ev.TID]
	if !ok {
		return
	}
	delete(e.asking, ev.TID)
	set := e.sets[r.epoll]
	if set == nil || ev.Ret != 0 {
		return
	}
	switch r.op {
	case unix.EPOLL_CTL_ADD:
		set[r.fd] = true
	case unix.EPOLL_CTL_DEL:
		delete(set, r.fd)
	default:
		return
	}
	e.changed[r.epoll] = ev.Time
}

// closed handles file descriptors that were closed. A copy may keep a
// registration.
func (e *epolls) closed(which func(fdKey) bool) {
	for k, set := range e.sets {
		if which(k) {
			delete(e.sets, k)
			continue
		}
		for fd := range set {
			if which(fdKey{k.pid, k.thread, fd}) {
				delete(e.sets, k)
				break
			}
		}
	}
}

// forked: another process may register with an epoll, and its numbers may come
// to be others.
func (e *epolls) forked() { clear(e.sets) }

func (e *epolls) lost() { clear(e.sets); clear(e.asking); clear(e.changed) }

// of are the registrations at a time, nil if they are not all known.
func (e *epolls) of(k fdKey, at int64) map[int]bool {
	if e.changed[k] >= at {
		return nil
	}
	for _, r := range e.asking {
		if r.epoll == k && r.op == unix.EPOLL_CTL_ADD {
			return nil
		}
	}
	return e.sets[k]
}
