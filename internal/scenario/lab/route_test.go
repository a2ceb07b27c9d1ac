//go:build linux

package lab_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/route"
	"github.com/google/go-cmp/cmp"
)

// offRoute are the trials that took another branch than their scenario's, and
// why. They are of kernels that were recorded once.
var offRoute = map[string]string{
	"6.12.117+deb13-cloud-arm64/tcp_fast": "an emulated processor: the segment was not the one that header prediction expects",
	"6.12.117+deb13-cloud-arm64/pidfd":    "from 6.9 to 6.14 a leader that ends before its threads wakes who polls its pidfd",
	"6.12.117+deb13-cloud-amd64/pidfd":    "from 6.9 to 6.14 a leader that ends before its threads wakes who polls its pidfd",
}

// What demo shows to who cannot observe is what the kernel ran in the
// scenario's recording: the same calls on the kernel of the golden recordings,
// and on each other kernel all functions that left a frame, in their order.
func TestRoutesAreThoseThatRan(t *testing.T) {
	each(t, func(t *testing.T, p *taped) {
		s, w := p.trial.Scenario, p.trial.Wake
		if w == nil {
			t.Fatalf("no wake: %s", p.trial.Reason)
		}
		if why := offRoute[p.name]; why != "" {
			t.Skip(why)
		}
		exact := strings.HasPrefix(p.name, "6.18.44")
		for what, c := range map[string]struct {
			chain *match.Chain
			route []ktrace.Edge
		}{
			"woken":  {w.WakeChain, route.Wake(p.kernel, s.Source, s.Waiter, s.Through, s.Branches)},
			"asleep": {w.SleepChain, route.Sleep(p.kernel, p.trial.Result.WaiterCall(s.Waiter), s.SleepPath)},
		} {
			if c.chain == nil && what == "asleep" && s.Worker {
				continue
			}
			ran, route := functions(c.chain), names(c.route)
			if d := cmp.Diff(route, ran); exact && d != "" {
				t.Errorf("%s (-route +what the kernel ran):\n%s", what, d)
			}
			if missing := notIn(withFrames(c.chain), route); missing != "" {
				t.Errorf("%s: %s had a frame and is not on the route, or elsewhere:\n %s\nThe kernel ran\n %s", what, missing, strings.Join(route, " > "), strings.Join(ran, " > "))
			}
		}
	})
}

// names are the functions of a route.
func names(route []ktrace.Edge) (out []string) {
	for i, e := range route {
		if i == 0 {
			out = append(out, e.Caller)
		}
		out = append(out, e.Callee)
	}
	return out
}

// functions are those of a judged chain, from the system call's own on, and up
// to what the route ends in.
func functions(c *match.Chain) []string {
	var edges []ktrace.Edge
	for _, s := range c.Steps {
		edges = append(edges, s.Edge)
	}
	return inside(names(edges))
}

// withFrames are those of them that left a frame.
func withFrames(c *match.Chain) (out []string) {
	for _, s := range c.Steps {
		if s.Symbol != "" && slices.Contains(inside(functions(c)), s.Callee) {
			out = append(out, s.Callee)
		}
	}
	return out
}

func inside(names []string) []string {
	body := func(n string) bool { return strings.HasPrefix(n, "__x64_sys_") || strings.HasPrefix(n, "__arm64_sys_") }
	names = names[max(slices.IndexFunc(names, body), 0):]
	for _, end := range []string{"try_to_wake_up", "schedule"} {
		if i := slices.Index(names, end); i >= 0 {
			names = names[:i+1]
		}
	}
	return names
}

// notIn is the first of the names that does not follow in the route, "" for
// none.
func notIn(names, route []string) string {
	for _, n := range names {
		i := slices.Index(route, n)
		if i < 0 {
			return n
		}
		route = route[i+1:]
	}
	return ""
}
