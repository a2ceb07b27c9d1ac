//go:build linux

package render

import (
	"bufio"
	"encoding/json"
	"io"

	"github.com/efd-go/efd/internal/ktrace"
)

// The records of the JSON lines, in the order in which they come: one
// timeline, then threads, paths, calls, wakes and notes. Calls, paths and
// wakes are numbered from 0, and named by these numbers.
type (
	jsonHead struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Kernel string `json:"kernel,omitempty"`
		Arch   string `json:"arch,omitempty"`
		Origin string `json:"origin"`
		Tier   string `json:"tier,omitempty"`
		Clock  string `json:"clock,omitempty"`
		Lost   uint64 `json:"lost"`
	}
	jsonThread struct {
		Type string `json:"type"`
		PID  int    `json:"pid"`
		TID  int    `json:"tid"`
		Comm string `json:"comm,omitempty"`
		Note string `json:"note,omitempty"`
	}
	jsonPath struct {
		Type      string     `json:"type"`
		ID        int        `json:"id"`
		Path      string     `json:"path"`
		Kernel    string     `json:"kernel"`
		DecidedBy string     `json:"decided_by,omitempty"`
		Branch    string     `json:"branch,omitempty"`
		Chain     []string   `json:"chain,omitempty"`
		Edges     []jsonEdge `json:"edges"`
	}
	jsonEdge struct {
		Caller   string         `json:"caller"`
		Callee   string         `json:"callee"`
		File     string         `json:"file,omitempty"`
		Line     int            `json:"line"`
		Kind     ktrace.Kind    `json:"kind"`
		Branch   string         `json:"branch,omitempty"`
		Verdict  ktrace.Verdict `json:"verdict,omitempty"`
		Evidence string         `json:"evidence,omitempty"`
	}
	jsonCall struct {
		Type    string      `json:"type"`
		ID      int         `json:"id"`
		TID     int         `json:"tid"`
		Start   int64       `json:"start_ns"`
		End     int64       `json:"end_ns"`
		Open    bool        `json:"open,omitempty"`
		Syscall string      `json:"syscall"`
		Text    string      `json:"text,omitempty"`
		FD      *int        `json:"fd,omitempty"`
		Object  string      `json:"object,omitempty"`
		Outcome string      `json:"outcome,omitempty"`
		Summary string      `json:"summary,omitempty"`
		Sleeps  []jsonSleep `json:"sleeps,omitempty"`
		Path    *int        `json:"path,omitempty"`
		Line    int         `json:"line,omitempty"`
		Runtime bool        `json:"runtime,omitempty"`
	}
	jsonSleep struct {
		From  int64    `json:"from_ns"`
		To    int64    `json:"to_ns"`
		Chain []string `json:"chain,omitempty"`
	}
	jsonWake struct {
		Type      string   `json:"type"`
		ID        int      `json:"id"`
		Time      int64    `json:"time_ns"`
		Latency   *int64   `json:"latency_ns,omitempty"`
		Waker     jsonSide `json:"waker"`
		Wakee     jsonSide `json:"wakee"`
		WakerCall *int     `json:"waker_call,omitempty"`
		WakeeCall *int     `json:"wakee_call,omitempty"`
		Object    string   `json:"object,omitempty"`
		By        string   `json:"by,omitempty"`
		Callback  string   `json:"callback,omitempty"`
		Path      *int     `json:"path,omitempty"`
	}
	jsonSide struct {
		PID     int    `json:"pid"`
		TID     int    `json:"tid"`
		Comm    string `json:"comm,omitempty"`
		Syscall string `json:"syscall,omitempty"`
		FD      *int   `json:"fd,omitempty"`
		Context string `json:"context,omitempty"`

		RanIn *jsonRan `json:"ran_in,omitempty"`
	}
	jsonRan struct {
		PID  int    `json:"pid"`
		TID  int    `json:"tid"`
		Comm string `json:"comm,omitempty"`
	}
	jsonNote struct {
		Type string `json:"type"`
		Text string `json:"text"`
		Call *int   `json:"call,omitempty"`
		Line int    `json:"line,omitempty"`
	}
)

// index is nil for the -1 that means none.
func index(i int) *int {
	if i < 0 {
		return nil
	}
	return &i
}

func side(s Side) jsonSide {
	out := jsonSide{PID: s.PID, TID: s.TID, Comm: s.Comm, Syscall: s.Syscall, FD: index(s.FD), Context: s.Context}
	if s.RanIn != nil {
		out.RanIn = &jsonRan{s.RanIn.PID, s.RanIn.TID, s.RanIn.Comm}
	}
	return out
}

// JSONLines writes one JSON object per thread, path, call, wake and note.
func JSONLines(w io.Writer, t *Timeline) error {
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	var err error
	put := func(v any) {
		if err == nil {
			err = enc.Encode(v)
		}
	}
	put(jsonHead{"timeline", t.Title, t.Kernel, t.Arch, t.Origin, t.Tier, t.Clock, t.Lost})
	for _, th := range t.Threads {
		put(jsonThread{"thread", th.PID, th.TID, th.Comm, th.Note})
	}
	for i := range t.Paths {
		put(linePath(i, &t.Paths[i]))
	}
	for i := range t.Calls {
		put(lineCall(i, &t.Calls[i]))
	}
	for i, k := range t.Wakes {
		j := jsonWake{"wake", i, k.Time, nil, side(k.Waker), side(k.Wakee), index(k.WakerCall), index(k.WakeeCall), k.Object, k.By, k.Callback, index(k.Path)}
		if k.Running != 0 {
			d := k.Running - k.Time
			j.Latency = &d
		}
		put(j)
	}
	for _, n := range t.Notes {
		put(jsonNote{n.Kind, n.Text, index(n.Call), n.Line})
	}
	if err != nil {
		return err
	}
	return buf.Flush()
}

func linePath(i int, p *Path) jsonPath {
	j := jsonPath{Type: "path", ID: i, Path: p.Name, Kernel: p.Kernel, DecidedBy: p.DecidedBy, Branch: p.Branch, Chain: p.Chain, Edges: []jsonEdge{}}
	for k, e := range p.Edges {
		je := jsonEdge{Caller: e.Caller, Callee: e.Callee, File: e.File, Line: e.Line, Kind: e.Kind, Branch: e.Branch}
		if k < len(p.Verdicts) {
			je.Verdict, je.Evidence = p.Verdicts[k].Verdict, p.Verdicts[k].Evidence
		}
		j.Edges = append(j.Edges, je)
	}
	return j
}

func lineCall(i int, c *Call) jsonCall {
	j := jsonCall{Type: "call", ID: i, TID: c.TID, Start: c.Start, End: c.End, Open: c.Open, Syscall: c.Name, Text: c.Text, FD: index(c.FD), Object: c.Object,
		Outcome: c.Outcome, Summary: c.Summary, Path: index(c.Path), Line: c.Line, Runtime: c.Runtime}
	for _, s := range c.Sleeps {
		j.Sleeps = append(j.Sleeps, jsonSleep(s))
	}
	return j
}
