//go:build linux

package render

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"unicode"

	"github.com/efd-go/efd/internal/plain"
)

//go:embed page.html
var page []byte

// maxDrawn is how many calls the page holds: more make a browser slow and a
// picture that shows nothing.
const maxDrawn = 20_000

// The data of the page. Times are nanoseconds since the first of them, calls,
// threads and paths are named by their index.
type (
	htmlData struct {
		Title   string       `json:"title"`
		Kernel  string       `json:"kernel"`
		Arch    string       `json:"arch"`
		Origin  string       `json:"origin"`
		Tier    string       `json:"tier"`
		Clock   string       `json:"clock"`
		Lost    uint64       `json:"lost"`
		Threads []htmlThread `json:"threads"`
		Calls   []htmlCall   `json:"calls"`
		Wakes   []htmlWake   `json:"wakes"`
		Paths   []htmlPath   `json:"paths"`
		Notes   []htmlNote   `json:"notes"`
	}
	htmlThread struct {
		Name string `json:"name"`
		TID  int    `json:"tid"`
	}
	htmlCall struct {
		Thread  int         `json:"t"`
		Start   int64       `json:"s"`
		End     int64       `json:"e"`
		Name    string      `json:"n"`
		Text    string      `json:"x,omitempty"`
		Object  string      `json:"k,omitempty"`
		Outcome string      `json:"o,omitempty"`
		Summary string      `json:"m,omitempty"`
		Sleeps  []htmlSleep `json:"z,omitempty"`
		Path    int         `json:"p"`
		Line    int         `json:"l,omitempty"`
		Runtime bool        `json:"r,omitempty"`
		Open    bool        `json:"open,omitempty"`
	}
	htmlSleep struct {
		From  int64    `json:"f"`
		To    int64    `json:"t"`
		Chain []string `json:"c,omitempty"`
	}
	htmlWake struct {
		Time     int64  `json:"w"`
		Running  int64  `json:"r"`
		From     int    `json:"f"` // thread, -1 for an interrupt
		To       int    `json:"t"`
		FromCall int    `json:"fc"`
		ToCall   int    `json:"tc"`
		Who      string `json:"who"`
		Object   string `json:"k,omitempty"`
		Callback string `json:"cb,omitempty"`
		Path     int    `json:"p"`
	}
	htmlPath struct {
		Name    string            `json:"name"`
		Title   string            `json:"title"`
		Intro   string            `json:"intro,omitempty"`
		Kernel  string            `json:"kernel"`
		Decided string            `json:"decided,omitempty"`
		Branch  string            `json:"branch,omitempty"`
		Roots   []string          `json:"roots"`
		Chain   []string          `json:"chain,omitempty"`
		Edges   []htmlEdge        `json:"edges"`
		Texts   map[string]string `json:"texts"`
	}
	htmlEdge struct {
		Caller   string `json:"a"`
		Callee   string `json:"b"`
		Where    string `json:"f,omitempty"`
		URL      string `json:"u,omitempty"`
		Kind     string `json:"k,omitempty"`
		Branch   string `json:"br,omitempty"`
		Note     string `json:"n,omitempty"`
		Verdict  string `json:"v,omitempty"`
		Evidence string `json:"ev,omitempty"`
	}
	htmlNote struct {
		Kind string `json:"kind"`
		Text string `json:"text"`
		Call int    `json:"call"`
		Line int    `json:"line,omitempty"`
	}
)

// HTML writes one page with all that it needs in it: it loads nothing, and
// opens the network only if a reader follows a link to the source.
func HTML(w io.Writer, t *Timeline) error {
	d := htmlOf(t)
	// Marshal escapes <, > and &, so the data cannot end the element it is in.
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	// The page is cut before anything is put into it: a title may be {{data}}.
	head, rest, ok := bytes.Cut(page, []byte("{{title}}"))
	before, after, placed := bytes.Cut(rest, []byte("{{data}}"))
	if !ok || !placed {
		return fmt.Errorf("the page has no place for its title or its data")
	}
	title := []byte(html.EscapeString(plain.Text(t.Title)))
	for _, b := range [][]byte{head, title, before, shown(data), after} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// shown is JSON with the characters that reverse or hide text shown as their
// escapes.
func shown(data []byte) []byte {
	if !bytes.ContainsFunc(data, turns) {
		return data
	}
	var b bytes.Buffer
	for _, r := range string(data) {
		if turns(r) {
			fmt.Fprintf(&b, `\\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// turns reports whether a character is one of format, such as those for the
// direction of text.
func turns(r rune) bool { return r < 1<<16 && unicode.Is(unicode.Cf, r) }

func htmlOf(t *Timeline) *htmlData {
	base := t.start()
	d := &htmlData{Title: t.Title, Kernel: t.Kernel, Arch: t.Arch, Origin: t.Origin, Tier: t.Tier, Clock: t.Clock, Lost: t.Lost,
		Threads: []htmlThread{}, Calls: []htmlCall{}, Wakes: []htmlWake{}, Paths: []htmlPath{}, Notes: []htmlNote{}}
	rows := map[int]int{}
	row := func(tid int) int {
		i, ok := rows[tid]
		if !ok {
			i = len(d.Threads)
			rows[tid] = i
			d.Threads = append(d.Threads, htmlThread{t.trackName(tid), tid})
		}
		return i
	}
	for _, th := range t.Threads {
		row(th.TID)
	}
	drawn := min(len(t.Calls), maxDrawn)
	for i := range t.Calls[:drawn] {
		d.Calls = append(d.Calls, htmlCallOf(&t.Calls[i], base, row(t.Calls[i].TID)))
	}
	if left := len(t.Calls) - drawn; left > 0 {
		d.Notes = append(d.Notes, htmlNote{"note", fmt.Sprintf("the first %d calls are drawn, %d later ones are not", drawn, left), -1, 0})
	}
	for i := range t.Wakes {
		if w := &t.Wakes[i]; w.WakerCall < drawn && w.WakeeCall < drawn {
			d.Wakes = append(d.Wakes, htmlWakeOf(w, base, row))
		}
	}
	for i := range t.Paths {
		d.Paths = append(d.Paths, htmlPathOf(&t.Paths[i]))
	}
	for _, n := range t.Notes {
		if n.Call < drawn {
			d.Notes = append(d.Notes, htmlNote(n))
		}
	}
	return d
}

func htmlCallOf(c *Call, base int64, row int) htmlCall {
	h := htmlCall{Thread: row, Start: c.Start - base, End: c.End - base, Name: c.Name, Text: c.Text, Object: c.Object, Outcome: c.Outcome, Summary: c.Summary,
		Path: c.Path, Line: c.Line, Runtime: c.Runtime, Open: c.Open}
	for _, s := range c.Sleeps {
		h.Sleeps = append(h.Sleeps, htmlSleep{s.From - base, s.To - base, s.Chain})
	}
	return h
}

func htmlWakeOf(w *Wake, base int64, row func(int) int) htmlWake {
	h := htmlWake{Time: w.Time - base, Running: max(w.Running-base, w.Time-base), From: -1, To: row(w.Wakee.TID), FromCall: w.WakerCall, ToCall: w.WakeeCall,
		Object: w.Object, Callback: w.Callback, Path: w.Path}
	h.Who = w.Waker.name()
	if w.Waker.acts() {
		h.From = row(w.Waker.TID)
	}
	return h
}

func htmlPathOf(p *Path) htmlPath {
	h := htmlPath{Name: p.Name, Title: p.Title, Intro: p.Intro, Kernel: p.Kernel, Decided: p.DecidedBy, Branch: p.Branch, Roots: p.Roots, Chain: p.Chain,
		Edges: []htmlEdge{}, Texts: map[string]string{}}
	if h.Roots == nil {
		h.Roots = []string{}
	}
	for i, e := range p.Edges {
		he := htmlEdge{Caller: e.Caller, Callee: e.Callee, URL: SourceURL(p.Kernel, e.File, e.Line), Kind: string(e.Kind), Branch: e.Branch, Note: e.Note}
		if e.File != "" {
			he.Where = e.File
			if e.Line > 0 {
				he.Where = fmt.Sprintf("%s:%d", e.File, e.Line)
			}
		}
		if e.Pointer != "" {
			he.Kind = "through " + e.Pointer
		}
		if i < len(p.Verdicts) {
			he.Verdict, he.Evidence = string(p.Verdicts[i].Verdict), p.Verdicts[i].Evidence
		}
		h.Edges = append(h.Edges, he)
		for _, f := range [...]string{e.Caller, e.Callee} {
			if text := p.Functions[f].Text; text != "" {
				h.Texts[f] = text
			}
		}
	}
	return h
}
