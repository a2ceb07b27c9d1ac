//go:build linux

package explain

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// setsize is glibc's FD_SETSIZE.
const setsize = 1024

// mostFDs is /proc/sys/fs/nr_open as it is by default: no process has more, if it was not raised.
const mostFDs = 1 << 20

// asked looks at the descriptors that a poll or select is asked to wait for.
func (x *Explainer) asked(rec *strace.Record, th *thread) {
	c, h := &rec.Call, &th.habits
	if c.Errno != "" || rec.Type == strace.Resumed && c.First == 0 {
		return
	}
	switch c.Name {
	case "poll", "ppoll", "ppoll_time64":
		x.invalid(rec, th)
		if set := arg(c, 0); !bytes.Equal(set, h.members) {
			h.members = append(h.members[:0], set...)
			x.duplicates(rec, th, set)
		}
	case "select", "_newselect", "pselect6", "pselect6_time64":
		x.aboveSetsize(rec, th)
	}
}

// duplicates warns of a number that stands more than once in an array, for
// the same events.
func (x *Explainer) duplicates(rec *strace.Record, th *thread, set []byte) {
	var seen []strace.PollFD
	strace.PollFDs(set, func(p strace.PollFD) {
		if p.FD.N >= 0 && len(p.Events) > 0 && string(p.Events) != "0" {
			seen = append(seen, p)
		}
	})
	for i, p := range seen {
		times := 1
		for j, other := range seen {
			if other.FD.N == p.FD.N && bytes.Equal(other.Events, p.Events) {
				if j < i {
					times = 0
					break
				}
				if j > i {
					times++
				}
			}
		}
		if times < 2 {
			continue
		}
		fd := p.FD.N
		x.raise(cause{code: "duplicate-member", about: th.table, n: int64(fd)}, rec, fd, -1, func(*Warning) string {
			return fmt.Sprintf("fd %d stands %d times in one poll, for the same events: it is polled as often, and counts as often in the result", fd, times)
		})
	}
}

// aboveSetsize warns of a select beyond the room of an fd_set.
func (x *Explainer) aboveSetsize(rec *strace.Record, th *thread) {
	c := &rec.Call
	nfds, ok := strace.Int(arg(c, 0))
	if !ok || nfds <= setsize {
		return
	}
	high := -1
	for i := 1; i <= 3; i++ {
		strace.FDSet(arg(c, i), func(fd strace.FD) { high = max(high, fd.N) })
	}
	if high < setsize && nfds <= mostFDs {
		return
	}
	x.raise(cause{code: "fd-above-setsize", about: th.table}, rec, high, -1, func(*Warning) string {
		switch {
		case nfds > mostFDs:
			return fmt.Sprintf("select is asked for %d descriptors, more than a process can have unless fs.nr_open was raised: the number is no count of descriptors, or the fd_set was overwritten", nfds)
		default:
			return fmt.Sprintf("select waits for fd %d, and an fd_set holds %d: unless the program made its sets larger, what FD_SET and the kernel write beyond it is other memory", high, setsize)
		}
	})
}

// invalid counts the members of a poll that are not open.
func (x *Explainer) invalid(rec *strace.Record, th *thread) {
	h := &th.habits
	if h.invalid == nil && !bytes.Contains(rec.Call.Note, []byte("POLLNVAL")) && !bytes.Contains(rec.Call.Note, []byte("0x20")) {
		return
	}
	now := map[int]*evidence{}
	for _, g := range h.given {
		if g.mask&evNval != 0 {
			e := h.invalid[g.fd]
			if e == nil {
				e = &evidence{}
			}
			now[g.fd] = e
		}
	}
	if h.invalid = now; len(now) == 0 {
		h.invalid = nil
		return
	}
	for _, g := range h.given {
		if now[g.fd] != nil && g.mask&evNval != 0 {
			x.notOpenAgain(rec, th, g.fd, now[g.fd])
		}
	}
}

// notOpen is a select with a descriptor that the log has closed.
func (x *Explainer) notOpen(rec *strace.Record, th *thread, fd int) {
	h := &th.habits
	if h.invalid == nil {
		h.invalid = map[int]*evidence{}
	}
	e := h.invalid[fd]
	if e == nil {
		e = &evidence{}
		h.invalid[fd] = e
	}
	x.notOpenAgain(rec, th, fd, e)
}

func (x *Explainer) notOpenAgain(rec *strace.Record, th *thread, fd int, e *evidence) {
	e.see(x, rec)
	if e.count < 2 {
		return
	}
	about := cause{code: "nval", about: th.table, n: int64(fd)}
	if x.counted(about, rec) {
		return
	}
	how := "is not open"
	if d := th.table.get(fd); d != nil && d.closed != 0 {
		how = fmt.Sprintf("was closed at line %d%s", d.closed, closer(d))
	}
	answer, name := "POLLNVAL", rec.Call.Name
	if rec.Call.Errno != "" {
		answer = rec.Call.Errno
	}
	w := x.raise(about, rec, fd, -1, func(w *Warning) string {
		return fmt.Sprintf("fd %d %s and is waited for %d times%s: each such %s returns at once with %s", fd, how, w.Count, w.rate(), name, answer)
	})
	w.evidence(e)
}

// tooManyDays is beyond what a time-out in milliseconds can be meant to be.
const tooManyDays = 24 * day

// unitOf warns of a time-out that cannot be meant.
func (x *Explainer) unitOf(rec *strace.Record, th *thread, limit int64, known bool) {
	c := &rec.Call
	i := 2
	switch {
	case isEpollWait(c.Name):
		i = 3
	case strings.Contains(c.Name, "select"):
		i = 4
	}
	a := arg(c, i)
	if a == nil {
		return
	}
	why := ""
	s := x.took(rec, th)
	milli := c.Name == "poll" || c.Name == "epoll_wait" || c.Name == "epoll_pwait"
	ms, _ := strace.Int(a)
	switch {
	case c.Errno != "" && c.Errno != "EINVAL":
		return
	case !milli && outOfRange(a, int64(unit(c.Name))):
		why = "its second number is out of range"
		if c.Errno == "EINVAL" {
			why += ", EINVAL"
		}
	case c.Errno != "" || !known:
		return
	case milli && limit > tooManyDays && ms < math.MaxInt32-60_000:
		why = fmt.Sprintf("that is %d days", limit/day)
	case c.Value == 0 && limit < 0 && isWholeWait(rec):
		why = "it is no limit, and yet the time was up"
	case c.Value == 0 && limit > 0 && s.most >= 0 && s.most < limit-slack(limit):
		why = fmt.Sprintf("the time was up after %s", appendTime(nil, s.most))
	case c.Value == 0 && limit == 0 && s.least >= 1e9:
		why = fmt.Sprintf("that only looks, and it took %s", appendTime(nil, s.least))
	default:
		return
	}
	name, value := c.Name, string(a)
	x.raise(cause{code: "wrong-unit", about: th.table, n: int64(rank("wrong-unit")) + int64(len(why))<<8}, rec, -1, -1, func(*Warning) string {
		return fmt.Sprintf("the time-out of %s is %s, which cannot be meant: %s", name, value, why)
	})
}

// isWholeWait reports whether the log has all of a wait.
func isWholeWait(rec *strace.Record) bool { return rec.Call.Whole && rec.Call.Restarts == "" }

// outOfRange reports whether the second number of a time-out is not below a
// second. unit is 1000 if it counts microseconds.
func outOfRange(a []byte, unit int64) bool {
	if strace.Null(a) || isAddress(a) {
		return false
	}
	i := bytes.LastIndexAny(a, "=, ")
	if i < 0 {
		return false
	}
	v, ok := strace.Int(bytes.TrimRight(a[i+1:], "}"))
	return ok && (v < 0 || v >= 1e9/unit)
}
