//go:build linux

package explain

import (
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/reach"
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
	if inCatalog := pollOf("eventfd"); slices.ContainsFunc(out.Edges, func(e ktrace.Edge) bool { return e.Callee == inCatalog }) {
		n.asks(&out, paths)
	}
	return &out
}

// taken returns a test for the edges of p that the call took.
func (n *Note) taken(p *ktrace.Path) func(*ktrace.Edge) bool {
	on := reach.Entered(p, n.call, Taken(p, slices.Concat(n.Branches, n.implied(p)), n.Maybe))
	on, known := reach.Ways(p, n.Ways, on)
	if n.Outcome == Failed && !known && len(n.Paths) > 0 && p.Name == n.Paths[0] {
		on = reach.Only(p, nil, on) // where it ended is not known: the entry alone is certain
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

// own is how a tree names a poll operation that the log does not show.
const own = "file->f_op->poll"

// noPoll is a file that is known to have no poll operation, and defaultMask is
// what is answered for it.
const (
	noPoll      = "file without a poll operation"
	defaultMask = "DEFAULT_POLLMASK"
)

// pollKind is the kind of a file as far as its poll operation goes.
func (f *file) pollKind() string {
	if f.kind != "file" {
		return f.kind
	}
	name, device, _ := strings.Cut(f.path, "<char ")
	switch {
	case f.directory, device == "1:3>", device == "1:5>", device == "1:7>":
		return noPoll
	}
	switch name {
	case "/dev/null", "/dev/zero", "/dev/full":
		return noPoll
	}
	return f.kind
}

// pollOf is the poll operation of a kind of file, asksFile the function that calls
// it, and joinsQueue the one that it calls for the file's wait queue.
func pollOf(kind string) string { return catalog.DefaultModel().PollChain(kind)[0] }
func asksFile() string          { return only(catalog.AsksFile, "") }
func joinsQueue() string        { return only(catalog.JoinsQueue, "") }

// only is the one function that a topic of the catalogue has under a name.
func only(t catalog.Topic, name string) string {
	return catalog.DefaultModel().Functions(t, name)[0]
}

// asks puts the poll operations of the files that the call asked in the place
// of the eventfd's, which stands for all files in the catalogue.
func (n *Note) asks(p *ktrace.Path, paths func(string) *ktrace.Path) {
	kinds := n.asked
	if len(kinds) == 0 {
		kinds = []string{""}
	}
	if !slices.Contains(kinds, "eventfd") {
		polls := pollOf("eventfd")
		p.Edges = slices.DeleteFunc(p.Edges, func(e ktrace.Edge) bool { return e.Callee == polls || e.Caller == polls })
	}
	for _, kind := range kinds {
		switch {
		case kind == "eventfd":
		case kind == "epoll" && strings.HasPrefix(p.Name, "epoll"):
			if len(kinds) == 1 { // ep_item_poll asks an epoll itself
				p.Edges = slices.DeleteFunc(p.Edges, func(e ktrace.Edge) bool { return e.Callee == asksFile() })
			}
		default:
			graft(p, kind, paths)
		}
	}
}

// graft adds what is called for a file of this kind.
func graft(p *ktrace.Path, kind string, paths func(string) *ktrace.Path) {
	chain := catalog.DefaultModel().PollChain(kind)
	ask, join := asksFile(), joinsQueue()
	switch {
	case kind == noPoll:
		p.Edges = append(p.Edges, ktrace.Edge{Caller: ask, Callee: defaultMask,
			Note: "No call: the file has no poll operation. " + ask + " answers POLLIN, POLLOUT, POLLRDNORM and POLLWRNORM at once, and nothing is registered."})
		return
	case kind == "file":
		p.Edges = append(p.Edges,
			ktrace.Edge{Caller: ask, Callee: own, Note: "The file's own poll operation, where it has one. A regular file and a directory have none: " + ask + " answers DEFAULT_POLLMASK (POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM) at once, and nothing is registered."},
			ktrace.Edge{Caller: own, Callee: join})
		return
	case chain == nil:
		p.Edges = append(p.Edges,
			ktrace.Edge{Caller: ask, Callee: own, Note: "The file's own poll operation: answers what is ready, and calls " + join + " for its wait queues."},
			ktrace.Edge{Caller: own, Callee: join})
		return
	}
	caller, pointer := ask, own
	for _, f := range chain {
		p.Edges = append(p.Edges, ktrace.Edge{Caller: caller, Callee: f, Kind: ktrace.Pointer, Pointer: pointer})
		caller, pointer = f, "ops->poll"
	}
	var of *ktrace.Path
	if name := pollPath(kind); name != "" && paths != nil {
		of = paths(name)
	}
	if of == nil {
		p.Edges = append(p.Edges, ktrace.Edge{Caller: caller, Callee: join})
		return
	}
	below := map[string]bool{caller: true}
	for grew := true; grew; {
		grew = false
		for i := range of.Edges {
			e := &of.Edges[i]
			if below[e.Caller] && !below[e.Callee] && e.Caller != join && (e.Branch == "" || e.Branch == "poll" || e.Branch == "watched-epoll") {
				below[e.Callee], grew = true, true
				p.Edges = append(p.Edges, *e)
			}
		}
	}
	if !below[join] {
		p.Edges = append(p.Edges, ktrace.Edge{Caller: caller, Callee: join})
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
