//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/scenario"
)

// What is said before the calls is what the scenarios do.
func TestDocumentedIntro(t *testing.T) {
	for _, c := range []struct {
		names     []string
		has, none []string
	}{
		{[]string{"ppoll", "read"}, []string{"until another writes to the eventfd", "queued on the eventfd", "and the rest of its call"}, nil},
		{[]string{"pty"}, []string{"A thread sleeps in ppoll on a terminal, a line is typed"}, []string{"eventfd", "rest of its call"}},
		{[]string{"tcp"}, []string{"on a TCP connection, data come over loopback"}, []string{"eventfd", "rest of its call"}},
		{[]string{"pipe_close"}, []string{"pipe"}, []string{"eventfd", "writes"}},
		{[]string{"signal_ppoll"}, []string{"signal"}, []string{"writes", "eventfd,", "rest of its call"}},
		{[]string{"tcp", "ppoll"}, []string{"an event ends its wait"}, []string{"writes to the eventfd"}},
	} {
		list, err := scenario.Find(true, c.names...)
		if err != nil {
			t.Fatal(err)
		}
		intro := documentedIntro(list)
		for _, w := range c.has {
			if !strings.Contains(intro, w) {
				t.Errorf("%v: no %q in %q", c.names, w, intro)
			}
		}
		for _, w := range c.none {
			if strings.Contains(intro, w) {
				t.Errorf("%v: %q in %q", c.names, w, intro)
			}
		}
	}
}

// The parts beside the wake are those of waiters that sleep on an eventfd's own
// queue in the ordinary way.
func TestPartsBesideTheWake(t *testing.T) {
	for name, want := range map[string]string{
		"ppoll": "queued again left", "select": "queued again left", "aio": "queued again left", "epoll_wait": "queued again", "read": "again",
		"epoll_exclusive": "", "poll_on_epoll": "", "restart_poll": "", "write_blocked": "", "tcp": "", "pty": "", "pipe": "", "signal_ppoll": "", "timerfd": "",
	} {
		list, err := scenario.Find(false, name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range append(queued(list[0]), afterwards(list[0])...) {
			got = append(got, p.short)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
}
