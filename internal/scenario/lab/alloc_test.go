//go:build linux

package lab_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/scenario"
	"github.com/efd-go/efd/internal/scenario/lab"
)

// Allocations show how an eventfd is made and how a waiter is registered, with
// no watchpoint.
func TestAllocationsShowRegistration(t *testing.T) {
	l := open(t)
	l.NoWatch = errors.New("not wanted here")
	for name, groups := range map[string][][]string{ // kernels and architectures differ in which edge of a group they have
		"eventfd2": {{"__x64_sys_eventfd2 -> do_eventfd", "__arm64_sys_eventfd2 -> do_eventfd"}, {"do_eventfd -> kmalloc", "do_eventfd -> kmalloc_obj"}},
		"epoll_wait": {
			{"ep_insert -> kmem_cache_alloc", "ep_insert -> kmem_cache_zalloc", "ep_alloc_epitem -> kmem_cache_zalloc"},
			{"poll_wait -> ep_ptable_queue_proc"}, {"ep_insert -> ep_item_poll", "vfs_poll -> eventfd_poll"},
			{"ep_ptable_queue_proc -> kmem_cache_alloc"},
		},
		"ppoll_many": {{"poll_wait -> __pollwait"}, {"poll_get_entry -> __get_free_page", "poll_get_entry -> kmalloc"}},
	} {
		s, err := scenario.Find(false, name)
		if err != nil {
			t.Fatal(err)
		}
		tr := l.Run(context.Background(), s[0])
		if tr.Status != lab.OK {
			t.Fatalf("%s: %s: %s", name, tr.Status, tr.Reason)
		}
		seen := map[string]bool{}
		for _, e := range tr.Edges() {
			if shown(e.Verdict) && e.Verdict != ktrace.Inlined && strings.Contains(e.Evidence, " allocation") {
				seen[e.Caller+" -> "+e.Callee] = true
			}
		}
		for _, edges := range groups {
			if !slices.ContainsFunc(edges, func(e string) bool { return seen[e] }) {
				t.Errorf("%s: allocations show none of %q: %v", name, edges, seen)
			}
		}
	}
}
