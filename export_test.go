//go:build linux

package efd

// CountOf is the counter of an eventfd that is no handle.
func CountOf(fd int) (uint64, error) {
	info, err := readEventFDInfo("CountOf", fd)
	return info.Count, err
}

// InPoller reports whether e has been registered with Go's poller.
func (e *EventFD) InPoller() bool { return e.d.poller() != nil }

// WithoutNowait runs fn as on a kernel that has no RWF_NOWAIT for eventfds.
func WithoutNowait(fn func()) {
	defer noNowait.Store(noNowait.Swap(true))
	fn()
}

// InPoller reports whether p has been registered with Go's poller.
func (p *Epoll) InPoller() bool { return p.d.poller() != nil }

// WithoutPwait2 runs fn as on a kernel that has no epoll_pwait2.
func WithoutPwait2(fn func()) {
	defer noPwait2.Store(noPwait2.Swap(true))
	fn()
}

// Watchers is how many are to be told when e closes.
func (e *EventFD) Watchers() int {
	x := e.d.extra.Load()
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.watchers)
}

// PendingWrites is how many WriteContexts of e wait for room.
func (e *EventFD) PendingWrites() int {
	p := e.d.poller()
	if p == nil {
		return 0
	}
	p.writes.mu.Lock()
	defer p.writes.mu.Unlock()
	return len(p.writes.list)
}

// AlwaysReady is the number of the eventfd that ends waits.
func AlwaysReady() int {
	hasAlwaysReady()
	return alwaysReady.fd
}
