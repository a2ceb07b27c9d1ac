//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
)

var pathCommand = command{name: "path", args: "[-kernel V] [-diff V1..V2] [-json] [-list] [-catalog DIR] [NAME…]",
	short: "show the documented kernel path, for this kernel or any other since 4.19"}

func init() {
	pathCommand.run = path
	commands = append(commands, pathCommand)
}

// asked holds the options of the sub-command.
type asked struct {
	catalog *catalog.Catalog
	version ktrace.Version
	symbols ktrace.SymbolSet
	names   []string
}

func path(e *env, args []string) int {
	fs := flag.NewFlagSet("path", flag.ContinueOnError)
	kernel := fs.String("kernel", "", "kernel version `V`, such as 6.1 or 5.10.262 (default: the running kernel, with its symbols)")
	diff := fs.String("diff", "", "show the changes between two kernels, `V1..V2`")
	asJSON := fs.Bool("json", false, "write JSON: an object for one path, an array for several")
	list := fs.Bool("list", false, "list the paths")
	dir := fs.String("catalog", "", "read the paths from `DIR` instead of those built in")
	if status, ok := parse(e, fs, pathCommand, "efdtrace path -kernel 6.1 eventfd_write ppoll", args); !ok {
		return status
	}
	usage := func(format string, a ...any) int {
		fmt.Fprintf(e.stderr, "efdtrace path: "+format+"\n", a...)
		return exitUsage
	}
	if *kernel != "" && *diff != "" {
		return usage("-kernel and -diff exclude each other")
	}
	a := &asked{catalog: catalog.Default(), names: fs.Args()}
	if *dir != "" {
		c, err := catalog.Load(os.DirFS(*dir))
		if err == nil {
			err = c.Check()
		}
		if err != nil {
			fmt.Fprintf(e.stderr, "efdtrace path: catalogue %s: %v\n", *dir, err)
			return exitCannot
		}
		a.catalog = c
	}
	if err := a.checkNames(); err != nil {
		return usage("%v", err)
	}
	if *diff != "" {
		from, to, err := span(*diff)
		if err != nil {
			return usage("-diff: %v", err)
		}
		return a.showDiff(e, from, to, *asJSON)
	}
	if *list || len(a.names) == 0 && !*asJSON {
		return a.showList(e, *asJSON, !*list)
	}
	if err := a.setKernel(*kernel); err != nil {
		return usage("-kernel: %v", err)
	}
	return a.show(e, *asJSON)
}

func (a *asked) checkNames() error {
	for _, n := range a.names {
		if _, err := a.catalog.Path(n, ktrace.Version{Major: 6, Minor: 18}, nil); err != nil {
			return fmt.Errorf("no path %q%s; efdtrace path -list names all", n, nearPath(a.catalog.Names(), n))
		}
	}
	return nil
}

// setKernel decides for which kernel to answer; "" is the running one.
func (a *asked) setKernel(s string) (err error) {
	if s == "" {
		s = runningKernel()
		if t, _ := ksym.Load(); t != nil { // names decide, even if the addresses are hidden
			a.symbols = t
		}
	}
	a.version, err = namedKernel(s)
	return err
}

// span reads "5.4..6.18".
func span(s string) (from, to ktrace.Version, err error) {
	a, b, ok := strings.Cut(s, "..")
	if !ok {
		return from, to, fmt.Errorf("%q: want V1..V2, such as 5.4..6.18", s)
	}
	if from, err = namedKernel(a); err == nil {
		to, err = namedKernel(b)
	}
	if err == nil && from.Compare(to) > 0 {
		err = fmt.Errorf("%q: the older kernel comes first", s)
	}
	return from, to, err
}

func (a *asked) showList(e *env, asJSON, hint bool) int {
	type row struct {
		Path  string `json:"path"`
		Title string `json:"title"`
	}
	var rows []row
	for _, n := range a.catalog.Names() {
		p, err := a.catalog.Path(n, ktrace.Version{Major: 6, Minor: 18}, nil)
		if err != nil {
			continue
		}
		rows = append(rows, row{n, p.Title})
	}
	if asJSON {
		return writeJSON(e, rows)
	}
	for _, r := range rows {
		fmt.Fprintf(e.stdout, "%-16s %s\n", r.Path, r.Title)
	}
	if hint {
		fmt.Fprintln(e.stderr, "\nefdtrace path NAME shows one of them.")
	}
	return exitOK
}

// The JSON of a path is a contract.
type pathJSON struct {
	Path      string         `json:"path"`
	Kernel    string         `json:"kernel"`
	DecidedBy string         `json:"decided_by"`
	Edges     []pathEdgeJSON `json:"edges"`
}

type pathEdgeJSON struct {
	Caller string      `json:"caller"`
	Callee string      `json:"callee"`
	File   string      `json:"file"`
	Line   int         `json:"line"`
	Kind   ktrace.Kind `json:"kind"`
	Branch string      `json:"branch"`
	Since  string      `json:"since"`
	Until  string      `json:"until"`
	Note   string      `json:"note"`
}

func (a *asked) show(e *env, asJSON bool) int {
	names := a.names
	if len(names) == 0 {
		names = a.catalog.Names()
	}
	out := []pathJSON{}
	t := &pathText{w: e.stdout, colour: colour(e.stdout)}
	for i, n := range names {
		p, err := a.catalog.Path(n, a.version, a.symbols)
		if err != nil {
			fmt.Fprintf(e.stderr, "efdtrace path: %v\n", err)
			return exitUsage
		}
		if asJSON {
			out = append(out, pathJSON{p.Name, p.Kernel, p.DecidedBy, edgesJSON(p.Edges)})
			continue
		}
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		t.path(p)
	}
	switch {
	case !asJSON:
		return exitOK
	case len(a.names) == 1:
		return writeJSON(e, out[0])
	}
	return writeJSON(e, out)
}

func edgesJSON(edges []ktrace.Edge) []pathEdgeJSON {
	out := []pathEdgeJSON{}
	for _, x := range edges {
		out = append(out, pathEdgeJSON{x.Caller, x.Callee, x.File, x.Line, x.Kind, x.Branch, x.Since, x.Until, x.Note})
	}
	return out
}

func writeJSON(e *env, v any) int {
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		fmt.Fprintf(e.stderr, "efdtrace path: %v\n", err)
		return exitCannot
	}
	return exitOK
}

// pathDiff is the difference of one path between two kernels.
type pathDiff struct {
	Path    string         `json:"path"`
	Removed []pathEdgeJSON `json:"removed"`
	Added   []pathEdgeJSON `json:"added"`
}

type diffJSON struct {
	From    string       `json:"from"`
	FromBy  string       `json:"from_decided_by"`
	To      string       `json:"to"`
	ToBy    string       `json:"to_decided_by"`
	Changes []changeJSON `json:"changes"`
	Paths   []pathDiff   `json:"paths"`
}

type changeJSON struct {
	Name  string `json:"name"`
	Since string `json:"since"`
	Text  string `json:"text"`
}

func (a *asked) showDiff(e *env, from, to ktrace.Version, asJSON bool) int {
	d := diffJSON{From: from.String(), To: to.String(), Changes: []changeJSON{}, Paths: []pathDiff{}}
	for _, ch := range a.catalog.Diff(from, to, a.names...) {
		d.Changes = append(d.Changes, changeJSON{ch.Name, ch.Since(), ch.Text})
	}
	names := a.names
	if len(names) == 0 {
		names = a.catalog.Names()
	}
	for _, n := range names {
		old, _ := a.catalog.Path(n, from, nil) // the names were checked
		now, _ := a.catalog.Path(n, to, nil)
		d.FromBy, d.ToBy = catalog.Version(old), catalog.Version(now)
		p := pathDiff{n, edgesJSON(without(old.Edges, now.Edges)), edgesJSON(without(now.Edges, old.Edges))}
		if len(p.Removed)+len(p.Added) > 0 {
			d.Paths = append(d.Paths, p)
		}
	}
	if asJSON {
		return writeJSON(e, d)
	}
	writeDiff(e.stdout, d)
	return exitOK
}

// without returns the calls of a that b has not.
func without(a, b []ktrace.Edge) []ktrace.Edge {
	type id struct{ caller, callee, file string }
	in := map[id]bool{}
	for _, x := range b {
		in[id{x.Caller, x.Callee, x.File}] = true
	}
	var out []ktrace.Edge
	for _, x := range a {
		if !in[id{x.Caller, x.Callee, x.File}] {
			out = append(out, x)
		}
	}
	return out
}

func writeDiff(w io.Writer, d diffJSON) {
	fmt.Fprintf(w, "from  %s\nto    %s\n\n", d.FromBy, d.ToBy)
	if len(d.Changes) == 0 {
		fmt.Fprintln(w, "Nothing changed on these paths.")
		return
	}
	for _, ch := range d.Changes {
		since := ch.Since
		if before, after, ok := strings.Cut(since, "|"); ok {
			since = fmt.Sprintf("between %s and %s", before, after)
		}
		fmt.Fprintf(w, "  %-22s ", since)
		writeWrapped(w, ch.Text, 25, 100)
	}
	for _, p := range d.Paths {
		fmt.Fprintf(w, "\n%s\n", p.Path)
		for _, x := range p.Removed {
			fmt.Fprintf(w, "  - %s → %s  (%s)\n", x.Caller, x.Callee, x.File)
		}
		for _, x := range p.Added {
			fmt.Fprintf(w, "  + %s → %s  (%s)\n", x.Caller, x.Callee, x.File)
		}
	}
}
