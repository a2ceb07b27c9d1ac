//go:build linux

package lab

import (
	"fmt"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace/source/watch"
)

// What begins the lines that say why a source took no part.
const (
	noWatch  = "changes of eventfds: "
	noAllocs = "allocations: "
)

// lack is a source that took no part in some trials, and why.
type lack struct {
	why       string // begins as above
	scenarios []string
}

// lacks notes the sources that a trial went without.
func (l *Lab) lacks(t *Trial) {
	l.trials++
	if !t.Scenario.Unwatched {
		l.toWatch++
	}
	if t.lack(noWatch) != "" {
		l.unwatched++
	}
next:
	for _, why := range t.Without {
		for i := range l.lacking {
			if l.lacking[i].why == why {
				l.lacking[i].scenarios = append(l.lacking[i].scenarios, t.Scenario.Name)
				continue next
			}
		}
		l.lacking = append(l.lacking, lack{why, []string{t.Scenario.Name}})
	}
}

// lack is why a source took no part in the trial, "" if it did.
func (t *Trial) lack(of string) string {
	for _, w := range t.Without {
		if why, ok := strings.CutPrefix(w, of); ok {
			return why
		}
	}
	return ""
}

// text is a line about a lack, with the trials if it is not of all.
func (l *Lab) text(k *lack) string {
	what, why, _ := strings.Cut(k.why, ": ")
	n, trials := len(k.scenarios), l.trials
	if strings.HasPrefix(k.why, noWatch) {
		trials = l.toWatch
	}
	if n == trials {
		return k.why
	}
	names := k.scenarios
	if n > 4 {
		names = append(names[:3:3], fmt.Sprintf("%d more", n-3))
	}
	return fmt.Sprintf("%s in %d of %s (%s): %s", what, n, count.Of(trials, "scenario"), strings.Join(names, ", "), why)
}

// unarmed is why none of the eventfds that a trial asked for was watched, "" if
// one was.
func unarmed(w *watch.Source, asked int) string {
	if asked == 0 || w.Armed() > 0 {
		return ""
	}
	var reasons []string
	for _, u := range w.Unwatched() {
		if _, why, ok := strings.Cut(u, ": "); ok {
			reasons = append(reasons, why)
		}
	}
	return strings.Join(reasons, ", and ")
}
