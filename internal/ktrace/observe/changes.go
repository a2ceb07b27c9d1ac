//go:build linux

package observe

// changes are the times at which file descriptors came to mean something else.
// A wake is judged when the woken thread runs: by then its waker may have given
// its descriptor to another file.
type changes struct {
	at    map[fdKey]change
	floor int64 // up to then not all changes are known
	last  int64 // the time of the latest event
}

// change is the last change of a number.
type change struct {
	at  int64
	was *object // what the number was until then, nil if that is not known
}

// anyFD stands for all numbers of a process.
const anyFD = -1

// add records a change of one number, or of all of a process; process 0 stands
// for any.
func (c *changes) add(k fdKey, at int64, was *object) {
	if c.at == nil || len(c.at) >= maxObjects {
		c.forget(0)
		c.at = map[fdKey]change{}
	}
	old := c.at[k]
	if at >= old.at {
		c.at[k] = change{at, was}
	}
}

// late handles a change that comes after events of later times: an object that
// is kept may be of after it.
func (c *changes) late(which func(fdKey) bool, at int64) {
	if at >= c.last {
		return
	}
	for k, later := range c.at {
		if later.was != nil && which(k) {
			later.was.closed(at)
		}
	}
}

// forget handles changes that are not known, of up to now or the time to.
func (c *changes) forget(to int64) {
	clear(c.at)
	c.floor = max(c.floor, c.last, to)
}

// latest is when the number was changed last.
func (c *changes) latest(k fdKey) int64 {
	at := max(c.floor, c.at[k].at)
	for _, wider := range [...]fdKey{{k.pid, 0, k.fd}, {k.pid, 0, anyFD}, {0, 0, k.fd}, {0, 0, anyFD}} {
		at = max(at, c.at[wider].at)
	}
	return at
}

// since reports whether the number may have been changed at the time at or
// later, and its object at that time, nil if that is not known.
func (c *changes) since(k fdKey, at int64) (changed bool, was *object) {
	latest := c.latest(k)
	if latest < at {
		return false, nil
	}
	if own := c.at[k]; own.at == latest && own.was != nil && own.was.from < at {
		return true, own.was
	}
	return true, nil
}
