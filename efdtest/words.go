//go:build linux

package efdtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/count"
)

// plural is a number of things.
func plural(n int, words ...string) string {
	return count.Of(n, words[0], words[1:]...)
}

// times is a number of times.
func times(n int) string {
	switch n {
	case 0:
		return "at least once"
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// list is a, b and c.
func list(names []string) string {
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// onNames is " on jobs or rest", "" for none.
func onNames(on []*Object) string {
	var names []string
	for _, o := range on {
		names = append(names, o.name)
	}
	if len(names) == 0 {
		return ""
	}
	return " on " + strings.Join(names, " or ")
}

// span is a duration with two or three digits.
func span(d time.Duration) string {
	switch abs := d.Abs(); {
	case d == 0:
		return "0"
	case abs < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case abs < 10*time.Microsecond:
		return fmt.Sprintf("%.1f µs", float64(d)/1e3)
	case abs < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	case abs < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case abs < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// signed is a time from the act's begin.
func signed(d time.Duration) string {
	if d > 0 {
		return "+" + span(d)
	}
	return span(d)
}
