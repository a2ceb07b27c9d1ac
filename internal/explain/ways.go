package explain

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// way is the path as far as the call went through it: with the calls that its
// outcome took alone, and with the poll operations of the files it asked.
func way(p *ktrace.Path, n *Note, paths func(string) *ktrace.Path) *ktrace.Path {
	out := *p
	out.Edges = nil
	taken := n.taken(p)
	for i := range p.Edges {
		if e := &p.Edges[i]; taken(e) {
			out.Edges = append(out.Edges, *e)
		}
	}
	if slices.ContainsFunc(out.Edges, func(e ktrace.Edge) bool { return e.Callee == "eventfd_poll" }) {
		n.asks(&out, paths)
	}
	return &out
}

// taken returns a test for the edges of p that the call took.
func (n *Note) taken(p *ktrace.Path) func(*ktrace.Edge) bool {
	on := n.entered(p, Taken(p, slices.Concat(n.Branches, n.implied(p)), n.Maybe))
	known := false
	for i := range p.Ways {
		w := &p.Ways[i]
		if !slices.Contains(n.Ways, w.Name) {
			continue
		}
		if known = known || isErrno(w.Name); w.Limited {
			on = only(p, w.Only, on)
		} else if len(w.Without) > 0 {
			on = without(w.Without, on)
		}
	}
	if n.Outcome == Failed && !known && len(n.Paths) > 0 && p.Name == n.Paths[0] {
		on = only(p, nil, on) // where it ended is not known: the entry alone is certain
	}
	return on
}

// implied are the branches that go without saying: what they leave open, the
// ways decide.
func (n *Note) implied(p *ktrace.Path) (out []string) {
	if !slices.Contains(n.Ways, "forever") {
		out = append(out, "timed")
	}
	switch p.Name {
	case "epoll_wait":
		return append(out, "ready", "item")
	case "epoll_ctl":
		switch {
		case slices.Contains(n.Branches, "delete"):
			return append(out, "entries")
		case !slices.Contains(n.Branches, "exclusive"):
			return append(out, "shared")
		}
	}
	return out
}

// entered leaves out the entries of other system calls than the one that was
// made, where the path has its own.
func (n *Note) entered(p *ktrace.Path, on func(*ktrace.Edge) bool) func(*ktrace.Edge) bool {
	name := strings.TrimSuffix(n.call, "_time64")
	mine := func(f string) bool { return isEntry(f) && strings.HasSuffix(f, "_sys_"+name) }
	if !slices.ContainsFunc(p.Edges, func(e ktrace.Edge) bool { return mine(e.Callee) }) {
		return on
	}
	other := func(f string) bool { return isEntry(f) && !mine(f) }
	return func(e *ktrace.Edge) bool { return on(e) && !other(e.Callee) && !other(e.Caller) }
}

// isErrno reports whether a way is named after how a call failed.
func isErrno(way string) bool { return way[0] == 'E' }

func isEntry(function string) bool {
	return strings.HasPrefix(function, "__x64_sys_") || strings.HasPrefix(function, "__arm64_sys_")
}

// only leaves the edges to the named functions and those on the way to them.
func only(p *ktrace.Path, names []string, on func(*ktrace.Edge) bool) func(*ktrace.Edge) bool {
	reached, below := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		name, all := strings.CutSuffix(name, "*")
		reached[name] = true
		if all {
			below[name] = true
		}
	}
	for grew := true; grew; {
		grew = false
		for i := range p.Edges {
			e := &p.Edges[i]
			if !on(e) {
				continue
			}
			if (reached[e.Callee] || isEntry(e.Callee)) && !reached[e.Caller] {
				reached[e.Caller], grew = true, true
			}
			if below[e.Caller] && !below[e.Callee] {
				below[e.Callee], grew = true, true
			}
		}
	}
	return func(e *ktrace.Edge) bool {
		return on(e) && (reached[e.Callee] || isEntry(e.Callee) || below[e.Caller])
	}
}

// without leaves out the named functions and what they call.
func without(names []string, on func(*ktrace.Edge) bool) func(*ktrace.Edge) bool {
	return func(e *ktrace.Edge) bool {
		return on(e) && !slices.Contains(names, e.Callee) && !slices.Contains(names, e.Caller)
	}
}

// own is how a tree names a poll operation that the log does not tell.
const own = "file->f_op->poll"

// operations are the poll operations of the kinds of files.
var operations = map[string][]string{
	"TCP socket": {"sock_poll", "tcp_poll"}, "MPTCP socket": {"sock_poll", "mptcp_poll"}, "UDP socket": {"sock_poll", "udp_poll"}, "unix socket": {"sock_poll"}, "socket": {"sock_poll"},
	"pipe": {"pipe_poll"}, "timerfd": {"timerfd_poll"}, "signalfd": {"signalfd_poll"}, "inotify": {"inotify_poll"}, "pidfd": {"pidfd_poll"},
	"terminal": {"tty_poll"}, "epoll": {"ep_eventpoll_poll"},
}

// asks puts the poll operations of the files that the call asked in the place
// of eventfd_poll, which stands for all files in the catalogue.
func (n *Note) asks(p *ktrace.Path, paths func(string) *ktrace.Path) {
	kinds := n.asked
	if len(kinds) == 0 {
		kinds = []string{""}
	}
	if !slices.Contains(kinds, "eventfd") {
		p.Edges = slices.DeleteFunc(p.Edges, func(e ktrace.Edge) bool { return e.Callee == "eventfd_poll" || e.Caller == "eventfd_poll" })
	}
	for _, kind := range kinds {
		switch {
		case kind == "eventfd":
		case kind == "epoll" && strings.HasPrefix(p.Name, "epoll"):
			if len(kinds) == 1 { // ep_item_poll asks an epoll itself
				p.Edges = slices.DeleteFunc(p.Edges, func(e ktrace.Edge) bool { return e.Callee == "vfs_poll" })
			}
		default:
			graft(p, kind, paths)
		}
	}
}

// graft adds what vfs_poll calls for a file of this kind.
func graft(p *ktrace.Path, kind string, paths func(string) *ktrace.Path) {
	chain := operations[kind]
	if chain == nil {
		p.Edges = append(p.Edges,
			ktrace.Edge{Caller: "vfs_poll", Callee: own, Note: "The file's own poll operation: answers what is ready, and calls poll_wait for its wait queues."},
			ktrace.Edge{Caller: own, Callee: "poll_wait"})
		return
	}
	caller, pointer := "vfs_poll", own
	for _, f := range chain {
		p.Edges = append(p.Edges, ktrace.Edge{Caller: caller, Callee: f, Kind: ktrace.Pointer, Pointer: pointer})
		caller, pointer = f, "ops->poll"
	}
	var of *ktrace.Path
	if name := pollPath(kind); name != "" && paths != nil {
		of = paths(name)
	}
	if of == nil {
		p.Edges = append(p.Edges, ktrace.Edge{Caller: caller, Callee: "poll_wait"})
		return
	}
	below := map[string]bool{caller: true}
	for grew := true; grew; {
		grew = false
		for i := range of.Edges {
			e := &of.Edges[i]
			if below[e.Caller] && !below[e.Callee] && e.Caller != "poll_wait" && (e.Branch == "" || e.Branch == "poll" || e.Branch == "watched-epoll") {
				below[e.Callee], grew = true, true
				p.Edges = append(p.Edges, *e)
			}
		}
	}
	if !below["poll_wait"] {
		p.Edges = append(p.Edges, ktrace.Edge{Caller: caller, Callee: "poll_wait"})
	}
	p.Functions = describe(p.Functions, of.Functions)
}

// describe adds the functions of b to a copy of a.
func describe(a, b map[string]ktrace.Function) map[string]ktrace.Function {
	out := make(map[string]ktrace.Function, len(a)+len(b))
	for name, f := range b {
		out[name] = f
	}
	for name, f := range a {
		out[name] = f
	}
	return out
}
