//go:build linux

package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Call is a system call that wakes are about, or that changes descriptors.
type Call struct {
	Name    string
	numbers [2]int   // on x86-64, and in the generic table; -1 where it has none
	Args    []string // kinds of its arguments, nil of a call that is not shown
	Paths   []string // its documented ones
	On      bool     // its first argument is the descriptor that it wakes on
	Makes   string   // the kind of the descriptor that it returns
	Closes  string   // the number of an argument that is closed, or "all"
	Ends    bool     // the thread makes no other after it
	Quiet   bool     // frequent, and no wake is about it
	Waiter  *Waiter  // what a thread in it is, nil of one that waits on the object's own queue or not at all
}

// Waiter is what has an entry on a wait queue: a thread in some calls, or what
// passes the wake on.
type Waiter struct {
	Kind    string
	Calls   []string
	Path    string   // where its wake goes on, "" for none
	Without []string // branches of a waker's path that end in other waiters
	below   int      // if fewer epolls passed the wake on ...
	Outside []string // ... these too
	Sleeps  bool     // its entry is the sleeping thread's own: a sleeper's in some kernels
	Passes  string   // passes the wake on, and a sleeper on its queue is of this kind
	Own     []string // paths that wake its own queue, through no callback
	As      []string // and those that pass it on as its callback does
	Inward  []string // branches to the waiters on its own queue
	Outward []string // branches to those that watch it
	InStep  []string // branches after a synchronous wake
	Apart   []string // branches after another
	Joins   []string // functions by which its entry comes onto an eventfd's wait queue
	Again   []string // by which it asks the eventfd again
	Leaves  []string // by which its entry leaves the queue
}

// Arch is an architecture, as GOARCH has it.
type Arch struct {
	Name   string
	column int    // of Call.numbers, -1: they are not known
	Branch string // which the paths take there alone, "" for none
	Prefix string // that the kernel's table has before a call's name, "" if it is not known
	byNr   []*Call
}

// calls is calls.txt.
type calls struct {
	archs    []*Arch
	byName   map[string]*Call
	all      []*Call
	waiters  []*Waiter
	objects  map[string]string // path -> kind
	narrow   map[string]bool
	tables   []string // prefixes
	prefixes []string // of the source's sys_NAME
	helpers  []string
}

// read takes one line of calls.txt.
func (c *calls) read(l line) error {
	key, rest := word(l.text)
	w := strings.Fields(l.whole(rest))
	switch {
	case key == "call" && len(w) > 2:
		return c.readCall(w, l.where)
	case key == "waiter" && len(w) > 1:
		return c.readWaiter(w, l.where)
	case key == "arch" && len(w) == 4:
		return c.readArch(w, l.where)
	case key == "inner" || key == "compat":
		c.prefixes = append(c.prefixes, w...)
	case key == "helper":
		c.helpers = append(c.helpers, w...)
	case key == "narrow":
		for _, name := range w {
			c.narrow[name] = true
		}
	case key == "object" && len(w) > 1:
		for _, path := range w[1:] {
			c.objects[path] = w[0]
		}
	default:
		return fmt.Errorf("%s: %q is none of arch, inner, compat, helper, call, narrow, waiter and object with what they need", l.where, l.text)
	}
	return nil
}

func (c *calls) readArch(w []string, at place) error {
	a := &Arch{Name: w[0], column: -1, Branch: strings.TrimPrefix(w[2], "-"), Prefix: strings.TrimPrefix(w[3], "-")}
	if n, err := strconv.Atoi(w[1]); err == nil && n >= 1 && n <= 2 {
		a.column = n - 1
	} else if w[1] != "-" {
		return fmt.Errorf("%s: %q is not a column: 1, 2 or -", at, w[1])
	}
	if a.Prefix != "" {
		c.tables, c.prefixes = append(c.tables, a.Prefix), append(c.prefixes, a.Prefix)
	}
	c.archs = append(c.archs, a)
	return nil
}

// sections divides words at those that are keys. A caller that appends to one
// makes a copy of it.
func sections(words []string, keys ...string) (out map[string][]string, err error) {
	out = map[string][]string{}
	key := ""
	for _, w := range words {
		switch {
		case slices.Contains(keys, w):
			key, out[w] = w, []string{}
		case key == "":
			return nil, fmt.Errorf("%q is none of %s", w, strings.Join(keys, " "))
		default:
			out[key] = append(out[key], w)
		}
	}
	for key, list := range out {
		out[key] = slices.Clip(list)
	}
	return out, nil
}

func (c *calls) readCall(w []string, at place) error {
	call := &Call{Name: w[0]}
	for i := range call.numbers {
		n, err := strconv.Atoi(w[1+i])
		if call.numbers[i] = n; w[1+i] == "-" {
			call.numbers[i] = -1
		} else if err != nil || n < 0 || n > 1<<12 {
			return fmt.Errorf("%s: %q is not the number of a system call", at, w[1+i])
		}
	}
	s, err := sections(w[3:], "args", "path", "on", "makes", "closes", "ends", "quiet")
	if err != nil {
		return fmt.Errorf("%s: %v", at, err)
	}
	if c.byName[call.Name] != nil {
		return fmt.Errorf("%s: %s is there twice", at, call.Name)
	}
	call.Args, call.Paths = s["args"], s["path"]
	call.Makes, call.Closes = strings.Join(s["makes"], " "), strings.Join(s["closes"], " ")
	call.On, call.Ends, call.Quiet = s["on"] != nil, s["ends"] != nil, s["quiet"] != nil
	c.byName[call.Name] = call
	c.all = append(c.all, call)
	return nil
}

func (c *calls) readWaiter(w []string, at place) error {
	s, err := sections(w[1:], "calls", "path", "without", "below", "sleeps", "passes", "own", "as", "inward", "outward", "in-step", "out-of-step", "joins", "again", "leaves")
	if err != nil {
		return fmt.Errorf("%s: %v", at, err)
	}
	v := &Waiter{Kind: w[0], Calls: s["calls"], Path: strings.Join(s["path"], " "), Without: s["without"], Sleeps: s["sleeps"] != nil,
		Passes: strings.Join(s["passes"], " "), Own: s["own"], As: s["as"],
		Inward: s["inward"], Outward: s["outward"], InStep: s["in-step"], Apart: s["out-of-step"], Joins: s["joins"], Again: s["again"], Leaves: s["leaves"]}
	if b := s["below"]; b != nil {
		if len(b) < 2 {
			return fmt.Errorf("%s: below needs a number and branches", at)
		}
		if v.below, err = strconv.Atoi(b[0]); err != nil {
			return fmt.Errorf("%s: %q is not a number of epolls", at, b[0])
		}
		v.Outside = b[1:]
	}
	for _, name := range v.Calls {
		call := c.byName[name]
		if call == nil {
			return fmt.Errorf("%s: no call %q above", at, name)
		}
		call.Waiter = v
	}
	c.waiters = append(c.waiters, v)
	return nil
}

// number makes the tables by number.
func (c *calls) number() {
	for _, a := range c.archs {
		for _, call := range c.all {
			if a.column < 0 || call.numbers[a.column] < 0 {
				continue
			}
			if n := call.numbers[a.column] + 1 - len(a.byNr); n > 0 {
				a.byNr = append(a.byNr, make([]*Call, n)...)
			}
			a.byNr[call.numbers[a.column]] = call
		}
	}
}

// Arch returns an architecture, one without knowledge if it is not there.
func (m *Model) Arch(name string) *Arch {
	if i := slices.IndexFunc(m.archs, func(a *Arch) bool { return a.Name == name }); i >= 0 {
		return m.archs[i]
	}
	return &Arch{Name: name, column: -1}
}

// Known reports whether the numbers of its calls are known.
func (a *Arch) Known() bool { return a.column >= 0 }

// Call returns the call of a number, nil for none.
func (a *Arch) Call(nr int) *Call {
	if nr < 0 || nr >= len(a.byNr) {
		return nil
	}
	return a.byNr[nr]
}

// Numbers returns those of the calls that f picks.
func (a *Arch) Numbers(f func(*Call) bool) (nrs []int) {
	for nr, c := range a.byNr {
		if c != nil && f(c) {
			nrs = append(nrs, nr)
		}
	}
	return nrs
}

// Others returns the branches that other architectures take alone.
func (m *Model) Others(without string) (out []string) {
	for _, a := range m.archs {
		if a.Branch != "" && a.Name != without {
			out = append(out, a.Branch)
		}
	}
	return out
}

// Machine reports whether a branch is that of an architecture.
func (m *Model) Machine(branch string) bool {
	return slices.ContainsFunc(m.archs, func(a *Arch) bool { return a.Branch != "" && a.Branch == branch })
}

// noCall is a call of which nothing is known.
var noCall Call

// Call returns what is known of a call by its name.
func (m *Model) Call(name string) *Call {
	if c := m.byName[name]; c != nil {
		return c
	}
	return &noCall
}

// Woken returns the waiter of a callback, or of its kind; nil if it is not known.
func (m *Model) Woken(callback string) *Waiter {
	if kind, ok := m.Of(Callback, callback); ok {
		return m.Waiter(kind)
	}
	return m.Waiter(callback)
}

// Waiters returns all, in the order of the data.
func (m *Model) Waiters() []*Waiter { return m.waiters }

// Waiter returns the one of a kind, nil for none.
func (m *Model) Waiter(kind string) *Waiter {
	if i := slices.IndexFunc(m.waiters, func(w *Waiter) bool { return w.Kind == kind }); i >= 0 {
		return m.waiters[i]
	}
	return nil
}

// Below returns the branches that are not taken if only so many epolls passed a
// wake on.
func (w *Waiter) Below(epolls int) []string {
	if epolls < w.below {
		return w.Outside
	}
	return nil
}

// Watched reports whether what w passes a wake on to watches w: a poll, or
// another of its kind. Others wait on its own queue.
func (w *Waiter) Watched(by *Waiter) bool {
	return by != nil && by.Kind != w.Passes && (by == w || by.Calls != nil)
}

// Ends reports whether nothing that waits is behind w: its wake goes no further.
func (w *Waiter) Ends() bool {
	return w.Calls == nil && w.Passes == "" && !w.Sleeps && w.Without != nil
}

// PassedOn reports whether a path wakes who watches an epoll as the epoll's
// callback does.
func (m *Model) PassedOn(source string) bool {
	return slices.ContainsFunc(m.waiters, func(w *Waiter) bool { return slices.Contains(w.As, source) })
}

// Object returns the kind of file whose queue a path wakes, "" if it has none.
func (m *Model) Object(path string) string { return m.objects[path] }

// NarrowCall reports whether only machines of 32 bits have a call, as strace
// names it.
func (m *Model) NarrowCall(name string) bool { return m.narrow[name] }

// PollChain returns the functions by which a file of this kind is polled, the
// first of them the file's own poll operation; nil if that is not known.
func (m *Model) PollChain(kind string) (chain []string) {
	if before, ok := strings.CutSuffix(kind, " socket"); ok {
		chain, kind = m.PollChain("socket"), before+"-socket"
	}
	return slices.Concat(chain, m.Functions(PollsFile, kind))
}

// TablePrefixes are those that the kernel's tables have before a call's name,
// of all architectures.
func (m *Model) TablePrefixes() []string { return m.tables }

// SourcePrefixes are those of the symbols that stand for the source's sys_NAME.
func (m *Model) SourcePrefixes() []string { return m.prefixes }

// InTable returns the name of the call whose function in the kernel's table
// this is, "" for none.
func (m *Model) InTable(function string) string { return afterAny(function, m.tables) }

// Syscall returns the name of the call that a function is of, by how it begins.
func (m *Model) Syscall(function string) string {
	if name := afterAny(function, m.prefixes); name != "" {
		return name
	}
	return afterAny(function, m.helpers)
}

func afterAny(s string, prefixes []string) string {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest
		}
	}
	return ""
}
