//go:build linux

// Package record writes the events of a source to a file, and reads it again on
// any machine and without privileges.
//
// A recording is lines of JSON, gzipped if the file's name ends in .gz. The
// first line is the header. A call chain is written once, as lines "frame" and
// "stack", and events refer to it by number. There are no kernel addresses in
// it: a frame is a symbol and an offset. The last line says how many events
// and losses there were, so that a file that was cut off is known as such.
package record

import (
	"errors"
	"os"
	"runtime"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/running"
)

// Version is the version of the form that is written. Reading refuses newer ones.
const Version = 1

// Header holds the facts that are known before the first event.
type Header struct {
	Version int    `json:"version"`
	Release string `json:"release"` // as uname -r prints it
	Arch    string `json:"arch"`    // as uname -m prints it
	CPUs    int    `json:"cpus,omitempty"`

	// Start is the CLOCK_MONOTONIC time at which the recording was begun.
	Start int64 `json:"start,omitempty"`

	// Sources are the mechanisms that were observed with, by the names that
	// events and losses carry.
	Sources []string `json:"sources,omitempty"`

	// Facts are properties of the kernel and of the observation that matter to a
	// reader, such as configuration options.
	Facts map[string]string `json:"facts,omitempty"`

	// Symbols are the functions that were asked for and under which symbols this
	// kernel has them; an empty list is a function that it does not have.
	Symbols map[string][]string `json:"symbols"`

	// Stripped names the parts that were left out on request: "comm", "args".
	Stripped []string `json:"stripped,omitempty"`
}

// NewHeader describes the running kernel. functions are the documented names
// whose symbols the recording is to know.
func NewHeader(syms ktrace.SymbolSet, functions []string) Header {
	h := Header{Version: Version, CPUs: runtime.NumCPU(), Facts: facts(), Symbols: map[string][]string{}}
	h.Release, h.Arch = running.Release(), running.Machine()
	if syms != nil {
		for _, f := range functions {
			h.Symbols[f] = append([]string{}, syms.Variants(f)...)
		}
	}
	return h
}

// facts are those that decide how much of a path can be seen.
func facts() map[string]string {
	f := map[string]string{}
	for key, path := range map[string]string{
		"kptr_restrict":       "/proc/sys/kernel/kptr_restrict",
		"perf_event_paranoid": "/proc/sys/kernel/perf_event_paranoid",
		"lockdown":            "/sys/kernel/security/lockdown",
		"version":             "/proc/sys/kernel/version",
	} {
		if b, err := os.ReadFile(path); err == nil {
			f[key] = strings.TrimSpace(string(b))
		}
	}
	return f
}

// Variants implements ktrace.SymbolSet with the recording's symbols.
func (h *Header) Variants(name string) []string { return h.Symbols[name] }

// Asked reports whether the recording knows if its kernel has the function. Of
// others Variants says nothing.
func (h *Header) Asked(name string) bool {
	_, ok := h.Symbols[name]
	return ok
}

// ErrCut says that a recording ends before its last line.
var ErrCut = errors.New("the recording is cut off: its last line is missing")

// line is one line of a recording: exactly one of its members is set.
type line struct {
	Recording *Header    `json:"recording,omitempty"`
	Frame     *frameLine `json:"frame,omitempty"`
	Stack     *stackLine `json:"stack,omitempty"`
	Forget    bool       `json:"forget,omitempty"` // all frames and stacks so far
	Event     *eventLine `json:"event,omitempty"`
	Loss      *lossLine  `json:"loss,omitempty"`
	Note      *Note      `json:"note,omitempty"`
	End       *endLine   `json:"end,omitempty"`
}

type frameLine struct {
	ID      int      `json:"id"`
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	Module  string   `json:"module,omitempty"`
}

// stackLine has the frames, leaf first, as pairs of frame and offset.
type stackLine struct {
	ID     int         `json:"id"`
	Frames [][2]uint32 `json:"frames"`
}

type eventLine struct {
	Kind   string `json:"kind"`
	Source string `json:"src,omitempty"`
	Time   int64  `json:"t"`
	CPU    int    `json:"cpu,omitempty"`
	PID    int    `json:"pid,omitempty"`
	TID    int    `json:"tid,omitempty"`
	Comm   string `json:"comm,omitempty"`

	Target       int    `json:"target,omitempty"`
	GlobalTarget int    `json:"global_target,omitempty"`
	TargetPID    int    `json:"target_pid,omitempty"`
	TargetComm   string `json:"target_comm,omitempty"`
	Preempted    bool   `json:"preempted,omitempty"`
	State        int    `json:"state,omitempty"`

	Nr   int        `json:"nr,omitempty"`
	Args *[6]uint64 `json:"args,omitempty"`
	Ret  int64      `json:"ret,omitempty"`

	Object int    `json:"object,omitempty"`
	Field  string `json:"field,omitempty"`

	IRQ string `json:"irq,omitempty"`

	Stack     int  `json:"stack,omitempty"` // 0: none
	Truncated bool `json:"truncated,omitempty"`
}

type lossLine struct {
	Source string `json:"src"`
	Count  uint64 `json:"count"`
	From   int64  `json:"from"`
	To     int64  `json:"to"`
}

// Note is something that the recorder wants its reader to know, such as which
// descriptor is which eventfd.
type Note struct {
	Time  int64  `json:"t,omitempty"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

type endLine struct {
	Events uint64 `json:"events"`
	Losses uint64 `json:"losses"`
	Time   int64  `json:"t,omitempty"`
}

var kinds = map[ktrace.EventKind]string{
	ktrace.Waking: "waking", ktrace.Switch: "switch", ktrace.SysEnter: "enter", ktrace.SysExit: "exit",
	ktrace.Watch: "watch", ktrace.Alloc: "alloc", ktrace.FuncEntry: "func", ktrace.Started: "start",
}

var kindByName = func() map[string]ktrace.EventKind {
	m := map[string]ktrace.EventKind{}
	for k, n := range kinds {
		m[n] = k
	}
	return m
}()
