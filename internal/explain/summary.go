//go:build linux

package explain

import "github.com/efd-go/efd/internal/plain"

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
