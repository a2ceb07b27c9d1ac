//go:build linux

package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
)

// Change is one change of the kernel that some paths depend on. Before is the
// last tree that was read and is without it, After the first with it; Likely
// lies between them and is the release that brought it, as far as is known.
// Where a tree settles it, Before is the zero Version.
type Change struct {
	Name, Text            string
	Before, After, Likely ktrace.Version
	Stable                []ktrace.Version // stable trees, of the series before After, that were read and have it
	Symbol, Gone          string           // a symbol that exists with it, and one that no longer does
}

func (c *Catalog) readChanges(lines []line) error {
	var ch *Change
	for _, l := range lines {
		key, rest := word(l.text)
		if ch == nil && key != "change" {
			return fmt.Errorf("%s: %q before the first change", l.where, key)
		}
		var err error
		switch key {
		case "change":
			ch = &Change{Name: rest, Text: l.more}
			if c.changes[rest] != nil {
				return fmt.Errorf("%s: change %q is there twice", l.where, rest)
			}
			c.changes[rest] = ch
			c.order = append(c.order, ch)
		case "since":
			err = ch.readSince(rest)
		case "stable":
			for _, w := range strings.Fields(rest) {
				var v ktrace.Version
				if v, err = ktrace.ParseVersion(w); err != nil {
					break
				}
				ch.Stable = append(ch.Stable, v)
			}
		case "symbol":
			ch.Symbol = rest
		case "gone":
			ch.Gone = rest
		default:
			err = fmt.Errorf("unknown word %q", key)
		}
		if err != nil {
			return fmt.Errorf("%s: %v", l.where, err)
		}
	}
	for _, ch := range c.order {
		if ch.After == (ktrace.Version{}) || ch.Text == "" {
			return fmt.Errorf("changes.txt: %s needs a sentence and a since line", ch.Name)
		}
	}
	return nil
}

// readSince reads "6.4", "6.2|6.4" or "6.2|6.4 likely 6.3".
func (ch *Change) readSince(s string) (err error) {
	span, likely, _ := strings.Cut(s, " likely ")
	before, after, bracket := strings.Cut(span, "|")
	if !bracket {
		before, after = "", span
	}
	if before != "" {
		if ch.Before, err = ktrace.ParseVersion(before); err != nil {
			return err
		}
	}
	if ch.After, err = ktrace.ParseVersion(after); err != nil {
		return err
	}
	ch.Likely = ch.After
	if likely != "" {
		ch.Likely, err = ktrace.ParseVersion(likely)
	}
	return err
}

// Since is how an edge names the change's version: "6.4", or "6.2|6.4" for a
// bracket.
func (ch *Change) Since() string {
	if ch.Before == (ktrace.Version{}) {
		return ch.After.String()
	}
	return ch.Before.String() + "|" + ch.After.String()
}

// decision is whether a kernel has a change, and what it was decided on where
// that was not the plain version.
type decision struct {
	has     bool
	symbol  string // the symbol that decided
	present bool   // and whether it exists
	doubt   string // only a bracket is known
	carried bool   // a stable kernel took it over from a later one
}

func (ch *Change) in(v ktrace.Version, syms ktrace.SymbolSet) decision {
	byVersion := ch.inVersion(v)
	if syms == nil || ch.Symbol == "" && ch.Gone == "" {
		return byVersion
	}
	has := func(name string) bool { return name != "" && len(syms.Variants(name)) > 0 }
	switch {
	case has(ch.Symbol):
		return decision{has: true, symbol: ch.Symbol, present: true}
	case has(ch.Gone):
		return decision{has: false, symbol: ch.Gone, present: true}
	case ch.Symbol != "" && ch.Gone == "":
		return decision{has: false, symbol: ch.Symbol}
	case ch.Symbol == "":
		return decision{has: true, symbol: ch.Gone}
	}
	return byVersion // neither: the code is a module that is not loaded
}

func (ch *Change) inVersion(v ktrace.Version) decision {
	series := ktrace.Version{Major: v.Major, Minor: v.Minor}
	for _, s := range ch.Stable {
		if s.Major == v.Major && s.Minor == v.Minor {
			switch {
			case v.Patch >= s.Patch:
				return decision{has: true, carried: true}
			case v.Patch == 0:
				return decision{}
			}
			return decision{doubt: fmt.Sprintf("%s lies between %s (without) and %s (with)", v, series, s)}
		}
	}
	if v.Compare(ch.After) >= 0 {
		return decision{has: true}
	}
	before := ktrace.Version{Major: ch.Before.Major, Minor: ch.Before.Minor}
	if ch.Before == (ktrace.Version{}) || series.Compare(before) <= 0 {
		return decision{}
	}
	d := decision{has: v.Compare(ch.Likely) >= 0}
	d.doubt = fmt.Sprintf("%s lies between %s (without) and %s (with)", v, ch.Before, ch.After)
	return d
}

// Diff returns the changes that kernel b has and a has not, as far as the
// named paths depend on them; all paths where none is named.
func (c *Catalog) Diff(a, b ktrace.Version, names ...string) []Change {
	if len(names) == 0 {
		names = c.names
	}
	used := map[string]bool{}
	for _, n := range names {
		if d := c.paths[n]; d != nil {
			for _, e := range c.expand(d) {
				for _, ch := range slices.Concat(e.with, e.without) {
					used[ch] = true
				}
			}
		}
	}
	var out []Change
	for _, ch := range c.order {
		if used[ch.Name] && ch.inVersion(a).has != ch.inVersion(b).has {
			out = append(out, *ch)
		}
	}
	return out
}
