//go:build linux

package explain

import (
	"bufio"
	"io"

	"github.com/efd-go/efd/internal/ktrace/strace"
	"github.com/efd-go/efd/internal/plain"
)

// found starts the lines of the list at the end.
const found = "found: "

// summary lists at the end of a log what was found, the most serious first.
// now are the warnings that the end itself completed, of which nothing was said
// so far.
func (t *texter) summary(all, now []*Warning) {
	late := map[*Warning]bool{}
	for _, w := range now {
		late[w] = true
	}
	for _, w := range all {
		s := w.entry()
		if late[w] && w.Remedy != "" {
			s += "; " + w.Remedy
		}
		t.line(found, plain.Text(s))
	}
	if len(all) > 0 {
		t.line("efdtrace explain -code CODE says more of each")
	}
}

// entry is a warning in the list at the end.
func (w *Warning) entry() string {
	if w.Code == "waits-for" { // its words name the line
		return w.Code + ": " + w.Text
	}
	return w.Code + ": " + w.Text + " (" + w.where() + ")"
}

// all reads a log to its end.
func (x *Explainer) all(r *strace.Reader) error {
	for {
		rec, err := r.Next()
		switch {
		case err == io.EOF:
			x.Finish(r.Dropped())
			return nil
		case err != nil:
			return err
		case !rec.Part:
			x.Explain(rec)
		}
	}
}

// textWarnings writes nothing but the warnings of a log, the most serious
// first.
func textWarnings(w io.Writer, r *strace.Reader, x *Explainer, o *Options) error {
	if err := x.all(r); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, each := range x.Warnings() {
		s := plain.Text(each.entry())
		if o.Color {
			s = "\x1b[33m" + each.Code + "\x1b[0m" + s[len(each.Code):]
		}
		out.WriteString(s + "\n")
		if each.Remedy != "" {
			out.WriteString("    " + each.Remedy + "\n")
		}
	}
	return out.Flush()
}
