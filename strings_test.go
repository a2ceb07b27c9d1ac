//go:build linux

package efd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/efd-go/efd"
)

// What a test prints with %v says what it is.
func TestStrings(t *testing.T) {
	e, p := newEventFD(t, 3, efd.Semaphore), newEpoll(t)
	gone, none := newEventFD(t, 0, 0), newEpoll(t)
	check(t, gone.Close())
	check(t, none.Close())
	event := efd.NewEpollEvent(efd.EPOLLIN|efd.EPOLLET, 42)
	waker := efd.Side{PID: 7, TID: 8, Comm: "consumer", Syscall: "write", FD: 5, Context: "task"}
	edge := efd.Edge{Caller: "eventfd_write", Callee: "wake_up_locked_poll", File: "fs/eventfd.c", Line: 281, Verdict: efd.TailCall}
	path := efd.Path{Name: "eventfd_write", Kernel: "6.18", Edges: []efd.Edge{edge, {Verdict: efd.Seen}, edge}}
	wake := efd.Wake{Waker: waker, Wakee: efd.Side{TID: 9, Syscall: "ppoll", FD: -1}, Latency: -1}
	many := efd.Report{Total: 18, Wakes: make([]efd.Wake, 18), TotalChanges: 1, Unobservable: []string{"changes"}}
	for _, c := range []struct {
		value any
		want  string
	}{
		{e, fmt.Sprintf("eventfd %d", e.FD())},
		{gone, "closed eventfd"},
		{(*efd.EventFD)(nil), "nil eventfd"},
		{p, fmt.Sprintf("epoll %d", p.FD())},
		{none, "closed epoll"},
		{(*efd.Epoll)(nil), "nil epoll"},
		{efd.Semaphore | efd.Blocking | 4, "Semaphore|Blocking|0x4"},
		{efd.Flag(0), "0"},
		{event, "EPOLLIN|EPOLLET, data 42"},
		{waker, "thread 8 (consumer) in write(5)"},
		{efd.Side{FD: -1, Syscall: "ppoll"}, "a thread in ppoll"},
		{efd.Change{By: waker, What: "was put on the wait queue of", Object: "eventfd 5 (id 12)"}, "thread 8 (consumer) in write(5) was put on the wait queue of eventfd 5 (id 12)"},
		{efd.Change{By: efd.Side{FD: -1}, What: "added to the counter of", Object: "an eventfd"}, "an interrupt added to the counter of an eventfd"},
		{edge, "eventfd_write → wake_up_locked_poll (fs/eventfd.c:281), tail call"},
		{path, "eventfd_write on Linux 6.18: 3 edges, 1 seen, 2 tail call"},
		{efd.Path{}, "no path"},
		{efd.Report{Kernel: "6.18.44", Total: 1, Wakes: []efd.Wake{wake}}, "1 wake on Linux 6.18.44, 0 records lost\n\tthread 8's write woke thread 9 out of its ppoll"},
		{&many, "18 wakes, 1 change, 0 records lost\n\tnot observable: changes\n\t… 2 wakes before these" + strings.Repeat("\n\tsomething woke a thread", 16)},
	} {
		if got := fmt.Sprint(c.value); got != c.want {
			t.Errorf("%T prints\n%s\nwant\n%s", c.value, got, c.want)
		}
	}
}
