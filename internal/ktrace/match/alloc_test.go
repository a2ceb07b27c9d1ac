//go:build linux

package match

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// allSymbols has every function.
type allSymbols struct{}

func (allSymbols) Variants(name string) []string { return []string{name} }

// The chain of an allocation shows the way to the function that asked for the
// memory, and that it called the allocator.
func TestMatchAlloc(t *testing.T) {
	p := &ktrace.Path{Name: "eventfd2", Roots: []string{"entry_SYSCALL_64"}, Edges: []ktrace.Edge{
		{Caller: "entry_SYSCALL_64", Callee: "do_syscall_64", Kind: ktrace.Direct},
		{Caller: "do_syscall_64", Callee: "__x64_sys_eventfd2", Kind: ktrace.Pointer},
		{Caller: "__x64_sys_eventfd2", Callee: "do_eventfd", Kind: ktrace.Direct},
		{Caller: "do_eventfd", Callee: "kmalloc", Kind: ktrace.Macro, Proved: true},
		{Caller: "do_eventfd", Callee: "anon_inode_getfile", Kind: ktrace.Direct},
	}}
	d := NewDoc(allSymbols{}, nil, p)
	alloc := func(stack string) *Chain {
		ev := event(stack)
		ev.Kind, ev.Source = ktrace.Alloc, "kmem:kmalloc"
		return d.MatchAlloc(ev)
	}
	c := alloc("__kmalloc_cache_noprof do_eventfd __x64_sys_eventfd2 do_syscall_64 entry_SYSCALL_64")
	if c == nil || len(c.Findings()) != 0 {
		t.Fatalf("%+v", c)
	}
	for _, want := range [][2]string{{"__x64_sys_eventfd2", "do_eventfd"}, {"do_eventfd", "kmalloc"}} {
		if s := stepOf(t, c.Steps, want[0], want[1]); s.Verdict != ktrace.Seen || s.Evidence != "kmem:kmalloc allocation" {
			t.Errorf("%s -> %s: %s (%s)", want[0], want[1], s.Verdict, s.Evidence)
		}
	}
	// What something else allocates below says nothing of the allocator's caller.
	if c := alloc("__kmalloc security_file_alloc do_eventfd __x64_sys_eventfd2 do_syscall_64 entry_SYSCALL_64"); c != nil {
		t.Errorf("security_file_alloc allocated, and %+v was judged", c.Steps)
	}
	if c := alloc("__kmalloc elsewhere"); c != nil {
		t.Errorf("no documented function allocated, and %+v was judged", c.Steps)
	}
	// A frame that is missing between is a finding.
	if c := alloc("__kmalloc_cache_noprof do_eventfd do_syscall_64 entry_SYSCALL_64"); c == nil || len(c.Findings()) == 0 {
		t.Error("__x64_sys_eventfd2 is missing, and nothing was found")
	}
}

// An item's memory is asked for in the body of a function that the compiler put
// into another, and an entry's below the file's poll operation.
func TestMatchAllocOfEpoll(t *testing.T) {
	p := &ktrace.Path{Name: "epoll_ctl", Roots: []string{"do_epoll_ctl"}, Edges: []ktrace.Edge{
		{Caller: "do_epoll_ctl", Callee: "ep_insert", Kind: ktrace.Direct, Proved: true},
		{Caller: "ep_insert", Callee: "ep_alloc_epitem", Kind: ktrace.Direct, Proved: true},
		{Caller: "ep_alloc_epitem", Callee: "kmem_cache_zalloc", Kind: ktrace.Macro, Proved: true},
		{Caller: "ep_insert", Callee: "eventfd_poll", Kind: ktrace.Pointer},
		{Caller: "eventfd_poll", Callee: "ep_ptable_queue_proc", Kind: ktrace.Pointer},
		{Caller: "ep_ptable_queue_proc", Callee: "kmem_cache_alloc", Kind: ktrace.Macro, Proved: true},
	}}
	for stack, want := range map[string][][2]string{
		"kmem_cache_alloc_noprof ep_alloc_epitem ep_insert do_epoll_ctl": {{"ep_insert", "ep_alloc_epitem"}, {"ep_alloc_epitem", "kmem_cache_zalloc"}},
		"kmem_cache_alloc ep_insert do_epoll_ctl":                        {{"do_epoll_ctl", "ep_insert"}, {"ep_alloc_epitem", "kmem_cache_zalloc"}},
		"kmem_cache_alloc_noprof ep_ptable_queue_proc eventfd_poll ep_insert do_epoll_ctl": {
			{"eventfd_poll", "ep_ptable_queue_proc"}, {"ep_ptable_queue_proc", "kmem_cache_alloc"}},
	} {
		ev := event(stack)
		ev.Kind, ev.Source = ktrace.Alloc, "kmem:kmem_cache_alloc"
		c := NewDoc(lackingSymbols{"ep_alloc_epitem"}, nil, p).MatchAlloc(ev)
		if strings.Contains(stack, "ep_alloc_epitem") {
			c = NewDoc(allSymbols{}, nil, p).MatchAlloc(ev)
		}
		if c == nil || len(c.Findings()) != 0 {
			t.Errorf("%s: %+v", stack, c)
			continue
		}
		for _, w := range want {
			if s := stepOf(t, c.Steps, w[0], w[1]); s.Verdict != ktrace.Seen {
				t.Errorf("%s: %s -> %s: %s (%s)", stack, w[0], w[1], s.Verdict, s.Evidence)
			}
		}
	}
}

// lackingSymbols has every function but one.
type lackingSymbols struct{ name string }

func (l lackingSymbols) Variants(name string) []string {
	if name == l.name {
		return nil
	}
	return []string{name}
}
