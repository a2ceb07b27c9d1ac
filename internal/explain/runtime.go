//go:build linux

package explain

import (
	"bytes"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// runtimeOf notes that a process is a Go program, by what no other does.
func (x *Explainer) runtimeOf(rec *strace.Record) {
	if onlyGo(rec) {
		x.state.thread(rec.PID).table.isGo()
	}
}

// isGo notes that a table is of a Go program.
func (t *table) isGo() {
	t.golang = true
	for _, f := range t.poller {
		if f != nil {
			f.runtime = true
		}
	}
}

// goReads sees the Go runtime read the size of a huge page, into 20 bytes.
func (x *Explainer) goReads(th *thread, d *descriptor, c *strace.Call) {
	if !th.table.golang && d.file.path == "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size" && string(arg(c, 2)) == "20" {
		th.table.isGo()
	}
}

// onlyGo reports whether a record is of a Go program for certain: its heap
// begins at 0xc000000000, where it is mapped and where the stacks of its threads
// and of its signal handlers are; it preempts goroutines by SIGURG sent to a
// thread, and handles that one with all others blocked, on another stack.
func onlyGo(rec *strace.Record) bool {
	c := &rec.Call
	if rec.Type == strace.Signal {
		return bytes.HasPrefix(rec.Text, []byte("SIGURG {")) && bytes.Contains(rec.Text, []byte("si_code=SI_TKILL"))
	}
	switch c.Name {
	case "mmap":
		return string(arg(c, 0)) == "0xc000000000"
	case "clone":
		return goStack(c, "child_stack=") || goStack(c, "stack=")
	case "sigaltstack":
		return goStack(c, "ss_sp=")
	case "rt_sigaction":
		a := arg(c, 1)
		return string(arg(c, 0)) == "SIGURG" && bytes.Contains(a, []byte("sa_mask=~[]")) && bytes.Contains(a, []byte("SA_ONSTACK")) && bytes.Contains(a, []byte("SA_RESTART"))
	case "tgkill":
		return string(arg(c, 2)) == "SIGURG"
	}
	return false
}

// goStack reports whether an argument gives a stack in Go's heap.
func goStack(c *strace.Call, name string) bool {
	for _, a := range c.Args {
		i := bytes.Index(a, []byte(name))
		if i < 0 {
			continue
		}
		v := a[i+len(name):]
		return bytes.HasPrefix(v, []byte("0xc000")) && len(v) >= 12 && isHex(v[6:12]) && (len(v) == 12 || !isHex(v[12:13]))
	}
	return false
}

func isHex(s []byte) bool {
	for _, c := range s {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// poller notes what is the Go runtime's poller in a Go program: an epoll, then
// a close-on-exec and non-blocking eventfd, then the one put into the other for
// EPOLLIN alone with an address for data. Others begin so too.
func (x *Explainer) poller(th *thread, ep, fd int, events []byte, data uint64) {
	t := th.table
	a, b := t.newest[0], t.newest[1]
	if a.call != "epoll_create1" || b.call != "eventfd2" || a.fd != ep || b.fd != fd || data < 1<<16 || int(uint32(data)) == fd {
		return
	}
	if string(events) != "EPOLLIN" && string(events) != "0x1" {
		return
	}
	if e, w := t.get(ep), t.get(fd); w.cloexec && w.file.nonblocking() {
		t.poller = [2]*file{e.file, w.file}
		e.file.runtime, w.file.runtime = t.golang, t.golang
	}
}
