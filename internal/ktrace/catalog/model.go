//go:build linux

package catalog

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// Model is what is known of single functions and calls of the kernel, apart from
// the paths. Functions are named without a compiler's suffix.
type Model struct {
	calls
	topics    [topics]topic
	functions []Named
}

// Topic is a keyword of frames.txt: what functions on a call chain say by being
// there.
type Topic uint8

const (
	Sends        Topic = iota // runs pending softirqs after it sent a packet
	Delivers                  // takes in what was sent on the same processor
	Tracer                    // of the tracepoint or watchpoint that took the chain
	SoftIRQ                   // runs softirqs
	ToSoftIRQ                 // between a task that enables softirqs and SoftIRQ
	HardIRQ                   // on the way in of an interrupt
	IRQStack                  // on the way in of an interrupt, if it does not call SoftIRQStack
	SoftIRQStack              // runs softirqs on the interrupts' stack
	WayBack                   // a task's own work on the return from an interrupt
	Entry                     // between user space and a system call's body
	Narrow                    // on the way in of a 32-bit program's call
	Wide                      // on the way in of a 64-bit program's call
	Start                     // where the chain of a kernel thread begins
	Worker                    // runs the work of a kworker
	Walks                     // calls the function of each entry of a wait queue
	Allocates                 // part of the allocators
	Wakes                     // wakes a queue or a thread
	InStep                    // wakes synchronously
	Queues                    // adds an entry to a wait queue
	Unqueues                  // removes one
	ShowsFdinfo               // prints what /proc says of an eventfd
	MakesEventfd              // allocates an eventfd, or has that compiled into it
	Registers                 // likewise of what epoll_ctl, poll and select keep of a descriptor
	PollPages                 // allocates pages for poll's table
	Always                    // on the way of each call of its kind, of no interest to a reader
	Watched                   // changes what watchpoints see of an eventfd
	SleepsInPoll              // a poll operation that sleeps itself
	AsksFile                  // calls the poll operation of a file
	JoinsQueue                // called by a poll operation for each wait queue of its file
	OfThread                  // of an entry whose private is its thread, apart from the Callbacks of threads

	Allocator // named: the tracepoint that shows it
	Body      // named: the system calls of which it is the body; mostly it is the first's
	Restarts  // named: the system call that goes on in it
	Aside     // named: what any call may do apart from its purpose
	AsideWait // named: likewise, if the thread sleeps in it
	Callback  // named: the Waiter whose entry of a wait queue has it
	Changed   // named: the path on which an eventfd is changed in it
	Leaf      // named: the tracepoint that fires in it
	End       // named: the Callback that ends in a jump to it
	PollsFile // named: the kind of file whose poll operation it is; that of a KIND socket is called by that of a socket
	Source    // named: the path of what wakes, if it is on the chain. The order counts
	topics
)

var keywords = [topics]string{
	Sends: "sends", Delivers: "delivers", Tracer: "tracer", SoftIRQ: "softirq", ToSoftIRQ: "to-softirq",
	HardIRQ: "hardirq", IRQStack: "irq-stack", SoftIRQStack: "softirq-stack", WayBack: "way-back", Entry: "entry", Narrow: "narrow",
	Wide: "wide", Start: "start", Worker: "worker", Walks: "walks", Allocates: "allocates", Wakes: "wakes",
	InStep: "in-step", Queues: "queues", Unqueues: "unqueues", ShowsFdinfo: "shows-fdinfo",
	MakesEventfd: "makes-eventfd", Registers: "registers", PollPages: "poll-pages", Always: "always", Watched: "watched", SleepsInPoll: "sleeps-in-poll",
	AsksFile: "asks-file", JoinsQueue: "joins-queue", OfThread: "of-thread", PollsFile: "polls-file",
	Allocator: "allocator", Body: "body", Restarts: "restarts", Aside: "aside", AsideWait: "aside-wait",
	Callback: "callback", Changed: "change", Leaf: "leaf", End: "end", Source: "source",
}

// named reports whether the keyword has a name before the functions.
func (t Topic) named() bool { return t >= Allocator }

// topic is the functions of a keyword, in the order of the file.
type topic struct {
	groups   []Group
	exact    map[string]string // function -> Group.Name
	patterns []pattern
}

// pattern is FUNCTION*, or FUNCTION*END, and its Group.Name.
type pattern struct{ before, after, name string }

// Group is some functions and the name that a topic has for them, "" if it
// has none. A name with * is a pattern.
type Group struct {
	Name      string
	Functions []string
}

// Named is a function that the model names, for a checker: a path has it, or it
// is defined in one of the files.
type Named struct {
	Function string   // or a pattern
	Files    []string // "-" and why for none
	Where    string   // the line of the data
}

// ID is what a proof of it is about.
func (n *Named) ID() string { return "function " + n.Function }

var defaultModel struct {
	once sync.Once
	m    *Model
}

// DefaultModel returns that of the embedded catalogue, read when it is first
// asked for, apart from the paths, which are a hundred times as many.
func DefaultModel() *Model {
	defaultModel.once.Do(func() {
		var err error
		if defaultModel.m, err = LoadModel(Data()); err != nil {
			panic("embedded catalogue: " + err.Error()) // a test loads it
		}
	})
	return defaultModel.m
}

// Is reports whether a function is one of a topic.
func (m *Model) Is(t Topic, function string) bool {
	_, ok := m.Of(t, function)
	return ok
}

// Of returns the name that a topic has for a function.
func (m *Model) Of(t Topic, function string) (name string, ok bool) {
	if name, ok = m.topics[t].exact[function]; ok {
		return name, true
	}
	for _, p := range m.topics[t].patterns {
		if len(function) >= len(p.before)+len(p.after) && strings.HasPrefix(function, p.before) && strings.HasSuffix(function, p.after) {
			return p.name, true
		}
	}
	return "", false
}

// OffPath returns the functions that the model names and no path has, each once.
func (c *Catalog) OffPath(m *Model) (out []Named) {
	have := map[string]bool{}
	for _, n := range c.names {
		for _, e := range c.expand(c.paths[n]) {
			have[e.Caller], have[e.Callee] = true, true
		}
	}
	for _, n := range m.functions {
		if !have[n.Function] {
			have[n.Function], out = true, append(out, n)
		}
	}
	return out
}

// Functions returns those that a topic has under a name.
func (m *Model) Functions(t Topic, name string) []string {
	for _, g := range m.topics[t].groups {
		if g.Name == name {
			return slices.Clip(g.Functions)
		}
	}
	return nil
}

// Groups returns the functions of a topic by their names.
func (m *Model) Groups(t Topic) []Group { return m.topics[t].groups }

// LoadModel reads calls.txt and frames.txt of a catalogue.
func LoadModel(fsys fs.FS) (*Model, error) {
	m := &Model{calls: calls{byName: map[string]*Call{}, objects: map[string]string{}, narrow: map[string]bool{}}}
	lines, err := readLines(fsys, "calls.txt")
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		if err := m.read(l); err != nil {
			return nil, err
		}
	}
	m.number()
	if lines, err = readLines(fsys, "frames.txt"); err != nil {
		return nil, err
	}
	var files []string
	for _, l := range lines {
		key, rest := word(l.text)
		words := strings.Fields(l.whole(rest))
		i := slices.Index(keywords[:], key)
		switch {
		case key == "file":
			if files = words; len(files) < 2 && (len(files) == 0 || files[0] == "-") {
				return nil, fmt.Errorf("%s: want file FILE..., or file - WHY", l.where)
			}
		case i < 0:
			return nil, fmt.Errorf("%s: %q is not a keyword", l.where, key)
		default:
			if err := m.add(Topic(i), words, files, l.where); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (m *Model) add(t Topic, words, files []string, at place) error {
	g := Group{Functions: words}
	if t.named() && len(words) > 0 {
		g.Name, g.Functions = words[0], words[1:]
	}
	if len(g.Functions) == 0 {
		return fmt.Errorf("%s: %s needs functions", at, keywords[t])
	}
	if t == Callback && m.Waiter(g.Name) == nil {
		return fmt.Errorf("%s: calls.txt has no waiter %q", at, g.Name)
	}
	to := &m.topics[t]
	if i := slices.IndexFunc(to.groups, func(o Group) bool { return o.Name == g.Name }); i >= 0 {
		to.groups[i].Functions = append(to.groups[i].Functions, g.Functions...)
	} else {
		to.groups = append(to.groups, g)
	}
	for _, f := range g.Functions {
		if _, twice := to.exact[f]; twice {
			return fmt.Errorf("%s: %s is %s twice", at, f, keywords[t])
		}
		if to.exact == nil {
			to.exact = map[string]string{}
		}
		if before, after, open := strings.Cut(f, "*"); open {
			to.patterns = append(to.patterns, pattern{before, after, g.Name})
		}
		to.exact[f] = g.Name
		m.functions = append(m.functions, Named{Function: f, Files: files, Where: at.String()})
	}
	return nil
}

// CheckModel finds what the model names and the catalogue does not have: paths
// and branches, and keywords without a function.
func (c *Catalog) CheckModel(m *Model) error {
	for t, of := range m.topics {
		if len(of.groups) == 0 {
			return fmt.Errorf("frames.txt: no function is %s", keywords[t])
		}
	}
	branches := map[string]bool{}
	for _, name := range c.names {
		for _, b := range c.gather(c.paths[name]).branches {
			branches[b.Name] = true
		}
	}
	for _, named := range m.paths() {
		if c.paths[named] == nil {
			return fmt.Errorf("the catalogue has no path %q, which calls.txt or frames.txt names", named)
		}
	}
	for _, w := range m.waiters {
		for _, b := range slices.Concat(w.Without, w.Outside, w.Inward, w.Outward, w.InStep, w.Apart) {
			if !branches[b] {
				return fmt.Errorf("the catalogue has no branch %q, which waiter %s of calls.txt names", b, w.Kind)
			}
		}
	}
	for _, a := range m.archs {
		if a.Branch != "" && !branches[a.Branch] {
			return fmt.Errorf("the catalogue has no branch %q, which arch %s of calls.txt names", a.Branch, a.Name)
		}
	}
	return nil
}

// paths are those that the model names.
func (m *Model) paths() (out []string) {
	for _, call := range m.all {
		out = append(out, call.Paths...)
	}
	for _, w := range m.waiters {
		out = append(append(out, w.Own...), w.As...)
		if w.Path != "" {
			out = append(out, w.Path)
		}
	}
	for _, t := range []Topic{Source, Changed} {
		for _, g := range m.topics[t].groups {
			out = append(out, g.Name)
		}
	}
	for path := range m.objects {
		out = append(out, path)
	}
	return out
}
