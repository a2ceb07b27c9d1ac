//go:build linux

package observe

import "github.com/efd-go/efd/internal/ktrace"

// epolls are the registrations of the epolls that were made under observation,
// as far as nothing but epoll_ctl changed them.
type epolls struct {
	sets   map[fdKey]map[int]bool
	asking map[int]registering // by thread
}

// registering is an epoll_ctl that has not ended.
type registering struct {
	epoll fdKey
	op    int
	fd    int
}

func (e *epolls) made(k fdKey) {
	if e.sets == nil || len(e.sets) >= maxObjects {
		e.sets, e.asking = map[fdKey]map[int]bool{}, map[int]registering{}
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
	const add, del = 1, 2
	switch r.op {
	case add:
		set[r.fd] = true
	case del:
		delete(set, r.fd)
	}
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

func (e *epolls) lost() { clear(e.sets); clear(e.asking) }

// of are the registrations, nil if they are not all known.
func (e *epolls) of(k fdKey) map[int]bool { return e.sets[k] }
