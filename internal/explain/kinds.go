//go:build linux

package explain

import (
	"bytes"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// proofs are the calls that succeed on one kind of file alone, which is their
// first argument.
var proofs = map[string]string{
	"timerfd_settime": "timerfd", "timerfd_gettime": "timerfd", "timerfd_settime64": "timerfd", "timerfd_gettime64": "timerfd",
	"inotify_add_watch": "inotify", "inotify_rm_watch": "inotify",
	"pidfd_send_signal": "pidfd", "pidfd_getfd": "pidfd", "signalfd": "signalfd", "signalfd4": "signalfd",
	"io_uring_enter": "io_uring", "io_uring_register": "io_uring",
	"accept": "socket", "accept4": "socket", "listen": "socket", "bind": "socket", "connect": "socket", "shutdown": "socket",
	"getsockname": "socket", "getpeername": "socket", "getsockopt": "socket", "setsockopt": "socket",
	"send": "socket", "sendto": "socket", "sendmsg": "socket", "sendmmsg": "socket",
	"recv": "socket", "recvfrom": "socket", "recvmsg": "socket", "recvmmsg": "socket",
}

// proves learns from a call that succeeded that its descriptor is of a kind.
func (x *Explainer) proves(rec *strace.Record, th *thread, kind string) {
	c := &rec.Call
	if !c.HasValue || c.Errno != "" || orphaned(rec) {
		return
	}
	fd, ok := c.FD()
	if !ok || fd.N < 0 {
		return
	}
	d := x.live(th, fd, c)
	if kind == "socket" {
		kind = family(c, kind)
	}
	switch known := d.file.kind; {
	case known == "" || known == "socket" && kind != known:
		d.file.kind = kind
	case !agree(known, kind) && !(kind == "unix socket" && known == "socket"):
		x.state.open(th.table, fd.N, &file{kind: kind}) // the number was opened again unseen
	}
}

// family is the kind of a socket by the address that stands in a call.
func family(c *strace.Call, kind string) string {
	switch c.Name {
	case "bind", "connect", "getsockname", "getpeername":
		switch a := arg(c, 1); {
		case bytes.HasPrefix(a, []byte("{sa_family=AF_UNIX")):
			return "unix socket"
		case bytes.HasPrefix(a, []byte("{sa_family=AF_NETLINK")):
			return "netlink socket"
		}
	}
	return kind
}

// ledger is what was written to a file of unknown kind, 8 bytes each, since it
// was read last.
type ledger struct {
	writes int
	sum    uint64
}

// wrote8 keeps the book of a write.
func (f *file) wrote8(c *strace.Call, v uint64, valued bool) {
	if c.Errno != "" || !c.HasValue {
		return
	}
	if !valued || c.Value != 8 || v == 0 || f.book.writes < 0 {
		f.book = ledger{writes: -1} // no eventfd takes that, or that is not known
		return
	}
	f.book.writes++
	f.book.sum = sum(f.book.sum, v)
}

// read8 reports whether a read proves that the file is an eventfd: 8 bytes come
// back that are the sum of what was written in several calls. A pipe or a socket
// gives the bytes themselves.
func (f *file) read8(c *strace.Call, v uint64, valued bool) bool {
	if c.Errno != "" || !c.HasValue {
		return false
	}
	b := f.book
	f.book = ledger{writes: min(b.writes, 0)}
	return b.writes > 1 && valued && c.Value == 8 && v == b.sum
}
