//go:build linux

package match

import (
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

const nestedWake = "try_to_wake_up ep_autoremove_wake_function __wake_up_common __wake_up ep_poll_callback __wake_up_common __wake_up ep_poll_callback __wake_up_common eventfd_write vfs_write ksys_write do_syscall_64 entry_SYSCALL_64_after_hwframe"

// nested618 has the two ways in which an epoll wakes: its waiters, and those
// that watch it.
func nested618() *ktrace.Path {
	p := epollWake618()
	for i := range p.Edges {
		switch e := &p.Edges[i]; {
		case e.Caller == "ep_poll_callback", e.Caller == "wake_up", e.Callee == "ep_autoremove_wake_function":
			e.Branch = "epoll-waiter"
		case e.Callee == "ep_poll_callback":
			e.Branch = "epoll"
		}
	}
	for _, e := range []ktrace.Edge{edge("ep_poll_callback", "ep_poll_safewake"), edge("ep_poll_safewake", "wake_up_poll", "macro"), edge("wake_up_poll", "__wake_up")} {
		e.Branch = "epoll-outer"
		p.Edges = append(p.Edges, e)
	}
	return p
}

// The first ep_poll_callback of an epoll in an epoll wakes who watches it, the
// second who waits in it: each has its own edge, its own way and its verdict.
func TestNestedEpoll(t *testing.T) {
	c := NewDoc(syms618, nil, write618(), nested618()).Match(event(nestedWake), "try_to_wake_up")
	if f := c.Findings(); len(f) != 0 {
		t.Fatalf("findings %+v", f)
	}
	var ways []string
	for _, s := range c.Steps {
		if s.Caller == "ep_poll_callback" || s.Callee == "ep_poll_callback" {
			ways = append(ways, s.Callee)
		}
	}
	if want := "ep_poll_callback ep_poll_safewake ep_poll_callback wake_up"; strings.Join(ways, " ") != want {
		t.Errorf("%v, want %s", ways, want)
	}
	steps := Cover([]Group{{Paths: []*ktrace.Path{write618(), nested618()}, Doc: NewDoc(syms618, nil, write618(), nested618()), Chains: []*Chain{c}}}, &Sources{Unseen: "nothing shows it"})
	var nth []int
	for _, s := range steps {
		if s.Caller == "__wake_up_common" && s.Callee == "ep_poll_callback" {
			nth = append(nth, s.Nth)
			if s.Verdict != ktrace.Seen {
				t.Errorf("%s", s.Verdict)
			}
		}
	}
	if !slices.Equal(nth, []int{0, 2}) {
		t.Errorf("__wake_up_common -> ep_poll_callback: %v, want the first and the second", nth)
	}
}

// A frame that is missing from one of the two is found out, though the other
// has it.
func TestNestedEpollWithoutFrame(t *testing.T) {
	d := NewDoc(syms618, nil, write618(), nested618())
	frames := strings.Fields(nestedWake)
	for i := 1; i < len(frames)-3; i++ {
		c := d.Match(event(strings.Join(slices.Delete(slices.Clone(frames), i, i+1), " ")), "try_to_wake_up")
		if len(c.Findings()) == 0 {
			t.Errorf("frame %d, %s, taken out: no finding", i, frames[i])
		}
	}
}

// The way to those that watch an epoll is not that to those that wait in it.
func TestNestedEpollWithoutItsWay(t *testing.T) {
	p := nested618()
	p.Edges = slices.DeleteFunc(p.Edges, func(e ktrace.Edge) bool { return e.Branch == "epoll-outer" })
	c := NewDoc(syms618, nil, write618(), p).Match(event(nestedWake), "try_to_wake_up")
	if f := c.Findings(); len(f) != 1 || f[0].Caller != "ep_poll_callback" {
		t.Errorf("findings %+v, want one at the first ep_poll_callback", f)
	}
}
