//go:build linux

package catalog

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// document is one path, or a part that several paths use.
type document struct {
	name, title, intro string
	roots              []string
	branches           []ktrace.Branch
	ways               []way
	structs            []ktrace.Struct
	limits             []string
	corrections        []ktrace.Correction
	items              []item
	where              place
}

// item is an edge, or the use of a part.
type item struct {
	edge     *edge
	use, arg string
	branch   string
	with     []string // conditions as on an edge
	where    place
}

// way is a ktrace.Way with the changes it depends on.
type way struct {
	ktrace.Way
	with, without []string
	where         place
}

// edge is a documented call with the changes it depends on.
type edge struct {
	ktrace.Edge
	setIn         string   // the file of Edge.SetBy
	with, without []string // changes that brought it and that ended it
	where         place
}

// place is a line of a data file.
type place struct {
	file string
	n    int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.n) }

// line is one item of a data file: a first line and the indented ones below.
type line struct {
	text, more string
	where      place
}

// Load reads a catalogue: changes.txt, functions.txt, builds.txt, proved.txt
// and a file for each path in paths/ and for each part in parts/.
func Load(fsys fs.FS) (*Catalog, error) {
	c := &Catalog{paths: map[string]*document{}, parts: map[string]*document{},
		funcs: map[string]ktrace.Function{}, changes: map[string]*Change{}, builds: map[call]build{}, proofs: map[string]string{}}
	for _, f := range []struct {
		name string
		read func([]line) error
	}{{"changes.txt", c.readChanges}, {"functions.txt", c.readFunctions}, {"builds.txt", c.readBuilds}} {
		lines, err := readLines(fsys, f.name)
		if err != nil {
			return nil, err
		}
		if err := f.read(lines); err != nil {
			return nil, err
		}
	}
	for dir, into := range map[string]map[string]*document{"parts": c.parts, "paths": c.paths} {
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if path.Ext(e.Name()) != ".txt" {
				continue
			}
			lines, err := readLines(fsys, path.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			d, err := c.readDocument(lines)
			if err != nil {
				return nil, err
			}
			if want := strings.TrimSuffix(e.Name(), ".txt"); d.name != want {
				return nil, fmt.Errorf("%s/%s: holds %q, want %q", dir, e.Name(), d.name, want)
			}
			into[d.name] = d
		}
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	c.sortNames()
	lines, err := readLines(fsys, "proved.txt")
	if err != nil {
		return nil, err
	}
	return c, c.readProved(lines)
}

func readLines(fsys fs.FS, name string) ([]line, error) {
	b, err := readFile(fsys, name)
	if err != nil {
		return nil, err
	}
	var out []line
	n := 0
	for s := range strings.Lines(string(b)) {
		n++
		s = strings.TrimRight(s, " \t\r\n")
		if err := checkText(s, place{name, n}); err != nil {
			return nil, err
		}
		if len(s) > maxItem || len(out) > 0 && len(out[len(out)-1].more) > maxItem {
			return nil, fmt.Errorf("%s:%d: a line of more than %d bytes", name, n, maxItem)
		}
		switch {
		case s == "" || s[0] == '#':
		case s[0] == ' ' || s[0] == '\t':
			if len(out) == 0 {
				return nil, fmt.Errorf("%s:%d: an indented line continues the one above, and there is none", name, n)
			}
			last := &out[len(out)-1]
			if last.more != "" {
				last.more += " "
			}
			last.more += strings.TrimSpace(s)
		default:
			out = append(out, line{text: s, where: place{name, n}})
		}
	}
	return out, nil
}

// word splits off the first word.
func word(s string) (first, rest string) {
	s = strings.TrimSpace(s)
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

// whole is the text of an item with its continuation lines.
func (l line) whole(rest string) string { return strings.TrimSpace(rest + " " + l.more) }

func (c *Catalog) readFunctions(lines []line) error {
	for _, l := range lines {
		name, text := word(l.text)
		f := ktrace.Function{Name: name}
		if strings.HasPrefix(text, "[") {
			file, rest, ok := strings.Cut(text[1:], "]")
			if !ok {
				return fmt.Errorf("%s: no ] after the file", l.where)
			}
			f.File, text = file, rest
		}
		if f.Text = l.whole(text); f.Text == "" {
			return fmt.Errorf("%s: %s has no sentence", l.where, name)
		}
		if _, twice := c.funcs[name]; twice {
			return fmt.Errorf("%s: %s is there twice", l.where, name)
		}
		c.funcs[name] = f
	}
	return nil
}

func (c *Catalog) readDocument(lines []line) (*document, error) {
	d := &document{}
	file := ""
	for _, l := range lines {
		key, rest := word(l.text)
		text := l.whole(rest)
		switch key {
		case "path", "part":
			d.name, d.where = rest, l.where
		case "title":
			d.title = text
		case "intro":
			if d.intro != "" {
				d.intro += "\n\n"
			}
			d.intro += text
		case "root":
			d.roots = append(d.roots, strings.Fields(text)...)
		case "branch":
			name, t := word(text)
			d.branches = append(d.branches, ktrace.Branch{Name: name, Text: t})
		case "way":
			w, err := c.readWay(l, text)
			if err != nil {
				return nil, err
			}
			d.ways = append(d.ways, w)
		case "struct":
			name, t := word(text)
			d.structs = append(d.structs, ktrace.Struct{Name: name, Text: t})
		case "limit":
			d.limits = append(d.limits, text)
		case "correction":
			about, t := word(text)
			wrong, right, ok := strings.Cut(strings.TrimPrefix(t, `"`), `" `)
			if !ok || t[0] != '"' {
				return nil, fmt.Errorf("%s: want what the text says in quotes, and then what is true", l.where)
			}
			d.corrections = append(d.corrections, ktrace.Correction{About: about, Wrong: wrong, Text: right})
		case "file":
			file = rest
		case "use":
			it, err := c.readUse(l, rest)
			if err != nil {
				return nil, err
			}
			d.items = append(d.items, it)
		default:
			e, err := c.readEdge(l, file)
			if err != nil {
				return nil, err
			}
			d.items = append(d.items, item{edge: e, where: l.where})
		}
	}
	if d.name == "" {
		return nil, fmt.Errorf("a data file without a path or part line: %v", lines)
	}
	return d, nil
}

// readWay reads "way NAME [+CHANGE] [-CHANGE] only|without FUNCTION...".
func (c *Catalog) readWay(l line, text string) (way, error) {
	w := way{where: l.where}
	var list *[]string
	for i, f := range strings.Fields(text) {
		switch {
		case i == 0:
			w.Name = f
		case f == "only":
			w.Limited, list = true, &w.Only
		case f == "without":
			list = &w.Without
		case list != nil:
			*list = append(*list, f)
		case (f[0] == '+' || f[0] == '-') && c.changes[f[1:]] != nil:
			if f[0] == '+' {
				w.with = append(w.with, f[1:])
			} else {
				w.without = append(w.without, f[1:])
			}
		default:
			return w, fmt.Errorf("%s: %q is no change, and no \"only\" or \"without\" is before it", l.where, f)
		}
	}
	if list == nil {
		return w, fmt.Errorf("%s: a way needs \"only\" or \"without\"", l.where)
	}
	return w, nil
}

// readUse reads "use PART [ARG] [branch] [+change] [-change]".
func (c *Catalog) readUse(l line, rest string) (item, error) {
	it := item{where: l.where}
	for i, w := range strings.Fields(rest) {
		switch {
		case i == 0:
			it.use = w
		case w[0] == '[' && w[len(w)-1] == ']':
			it.branch = w[1 : len(w)-1]
		case w[0] == '+' || w[0] == '-':
			if c.changes[w[1:]] == nil {
				return it, fmt.Errorf("%s: no change %q", l.where, w[1:])
			}
			it.with = append(it.with, w)
		default:
			it.arg = w
		}
	}
	if it.use == "" {
		return it, fmt.Errorf("%s: use needs the name of a part", l.where)
	}
	return it, nil
}

// readEdge reads "CALLER -> CALLEE [inline|macro|tracepoint] [+CHANGE]
// [-CHANGE] [[BRANCH]]", or "CALLER => CALLEE via EXPR set SETTER [in FILE]"
// for a call through a pointer.
func (c *Catalog) readEdge(l line, file string) (*edge, error) {
	bad := func(format string, a ...any) (*edge, error) {
		return nil, fmt.Errorf("%s: "+format, append([]any{l.where}, a...)...)
	}
	w := strings.Fields(l.text)
	if len(w) < 3 || w[1] != "->" && w[1] != "=>" {
		return bad("want CALLER -> CALLEE, CALLER => CALLEE or a keyword, have %q", l.text)
	}
	if file == "" {
		return bad("no file line above this call")
	}
	e := &edge{where: l.where, Edge: ktrace.Edge{Caller: w[0], Callee: w[2], File: file, Kind: ktrace.Direct, Note: l.more}}
	if w[1] == "=>" {
		e.Kind = ktrace.Pointer
	}
	for i := 3; i < len(w); i++ {
		a := w[i]
		switch {
		case a == "inline" || a == "macro" || a == "tracepoint":
			e.Kind = ktrace.Kind(a)
		case a == "via" || a == "set" || a == "in":
			if i++; i == len(w) {
				return bad("%q needs a word after it", a)
			}
			switch a {
			case "via":
				e.Pointer = w[i]
			case "set":
				e.SetBy = w[i]
			case "in":
				e.setIn = w[i]
			}
		case a[0] == '+' || a[0] == '-':
			if c.changes[a[1:]] == nil {
				return bad("no change %q in changes.txt", a[1:])
			}
			if a[0] == '+' {
				e.with = append(e.with, a[1:])
			} else {
				e.without = append(e.without, a[1:])
			}
		case a[0] == '[' && a[len(a)-1] == ']':
			e.Branch = a[1 : len(a)-1]
		default:
			return bad("%q is no kind, change or branch", a)
		}
	}
	if (e.Kind == ktrace.Pointer) != (e.Pointer != "") || (e.Pointer != "") != (e.SetBy != "") {
		return bad("=> and via EXPR set SETTER go together")
	}
	if e.Pointer != "" && e.setIn == "" {
		e.setIn = file
	}
	return e, nil
}

// checkNames finds parts and branches that are nowhere.
func (c *Catalog) checkNames() error {
	branches := map[string]bool{"": true}
	for _, set := range []map[string]*document{c.paths, c.parts} {
		for _, d := range set {
			for _, b := range d.branches {
				branches[b.Name] = true
			}
		}
	}
	for _, set := range []map[string]*document{c.paths, c.parts} {
		for _, d := range set {
			for _, it := range d.items {
				switch {
				case it.use != "" && c.parts[it.use] == nil:
					return fmt.Errorf("%s: no part %q", it.where, it.use)
				case !branches[it.branch] || it.edge != nil && !branches[it.edge.Branch]:
					return fmt.Errorf("%s: no branch line for the branch of this line", it.where)
				}
			}
		}
	}
	return c.checkUses()
}

// Check goes over every path and returns what reading the files one by one
// cannot show: a path without a start, or a call on a branch that its path
// does not explain.
func (c *Catalog) Check() error {
	for _, n := range c.names {
		d := c.paths[n]
		g := c.gather(d)
		if len(g.roots) == 0 {
			return fmt.Errorf("%s: path %s has no root line", d.where, d.name)
		}
		for _, e := range c.expand(d) {
			if e.Branch != "" && !slices.ContainsFunc(g.branches, func(b ktrace.Branch) bool { return b.Name == e.Branch }) {
				return fmt.Errorf("%s: path %s has no branch %q", e.where, d.name, e.Branch)
			}
		}
		if err := c.checkWays(d, g); err != nil {
			return err
		}
	}
	return nil
}

// checkWays finds functions of ways that the path does not have.
func (c *Catalog) checkWays(d *document, g *gathered) error {
	called := map[string]bool{}
	for _, e := range c.expand(d) {
		called[e.Callee] = true
	}
	for _, w := range g.ways {
		for _, f := range slices.Concat(w.Only, w.Without) {
			if !called[strings.TrimSuffix(f, "*")] {
				return fmt.Errorf("%s: path %s has no call of %s", w.where, d.name, f)
			}
		}
	}
	return nil
}

// readingOrder is the order of Names; what is not in it comes after.
const readingOrder = `eventfd2 eventfd_release eventfd_fdinfo eventfd_read eventfd_write eventfd_signal
	aio io_uring kvm_ioeventfd kvm_irqfd vhost memcg vfio poll ppoll poll_wake poll_restart select pselect6
	epoll_create1 epoll_ctl epoll_wait epoll_wake epoll_nested epoll_ioctl epoll_release tcp_poll tcp_receive
	tcp_send_space unix udp pipe timerfd signalfd pty input inotify pidfd timeout signal try_to_wake_up`

func (c *Catalog) sortNames() {
	order := strings.Fields(readingOrder)
	rank := func(s string) int {
		if i := slices.Index(order, s); i >= 0 {
			return i
		}
		return len(order)
	}
	for n := range c.paths {
		c.names = append(c.names, n)
	}
	sort.Slice(c.names, func(i, j int) bool {
		a, b := rank(c.names[i]), rank(c.names[j])
		return a < b || a == b && c.names[i] < c.names[j]
	})
}
