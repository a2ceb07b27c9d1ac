//go:build linux

package explain

import (
	"bytes"
	"io"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/strace"
)

// x86Only are calls of x86-64 that arm64 does not have.
var x86Only = map[string]bool{"open": true, "poll": true, "select": true, "epoll_wait": true, "epoll_create": true, "eventfd": true, "pipe": true, "dup2": true,
	"stat": true, "lstat": true, "access": true, "arch_prctl": true, "fork": true, "vfork": true, "signalfd": true, "inotify_init": true}

// elsewhere reports whether a call is none of the machine whose paths are shown.
func elsewhere(name string) bool {
	return catalog.DefaultModel().NarrowCall(name) || strings.HasSuffix(name, "_time64") || archBranch() == "arm64" && x86Only[name]
}

// machine notes that a log is of another machine than the paths.
func (x *Explainer) machine(rec *strace.Record) {
	if x.Elsewhere != "" {
		return
	}
	switch rec.Type {
	case strace.CallLine, strace.Unfinished, strace.Resumed:
		if rec.Call.Name == "" || x.known.of(rec.Call.Name).native {
			return
		}
		if certain(rec) {
			x.Elsewhere = rec.Call.Name + " is no call of " + archBranch()
		}
	case strace.Diagnostic:
		if bytes.Contains(rec.Text, []byte("runs in 32 bit mode")) || bytes.Contains(rec.Text, []byte("runs in x32 mode")) {
			x.Elsewhere = "the program is none of " + archBranch()
		}
	}
}

// certain reports whether a record is strace's and no output of the program.
func certain(rec *strace.Record) bool {
	return rec.Call.Whole || rec.Type == strace.Resumed || bytes.Contains(rec.Raw, []byte(" <unfinished ...>"))
}

// ahead looks for that in what has been read of the log so far, so that the
// first line gets no path that does not hold.
func (x *Explainer) ahead(log []byte) {
	for r := strace.NewReader(bytes.NewReader(log), 0); x.Elsewhere == ""; {
		rec, err := r.Next()
		if err == io.EOF {
			return
		}
		x.machine(rec)
	}
}

// noPaths is why no path holds for the log, "" if they do.
func (x *Explainer) noPaths(o *Options) string {
	switch {
	case o.NoPaths != "":
		return o.NoPaths
	case x.Elsewhere != "":
		return "no kernel paths: " + x.Elsewhere + ", and the paths are of that machine"
	}
	return ""
}
