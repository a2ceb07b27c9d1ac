//go:build linux

package efd_test

import (
	"testing"
	"time"

	"github.com/efd-go/efd"
)

func TestWakeString(t *testing.T) {
	none := efd.Side{FD: -1}
	waker := efd.Side{PID: 26100, TID: 26105, Comm: "waker", Syscall: "write", FD: 30, Context: "task"}
	wakee := efd.Side{PID: 26100, TID: 26111, Comm: "waiter", Syscall: "ppoll", FD: -1, Context: "task"}
	by := func(change func(*efd.Side)) efd.Side { s := waker; change(&s); return s }
	for _, c := range []struct {
		want string
		w    efd.Wake
	}{
		{"thread 26105's write woke thread 26111 out of its ppoll on eventfd 29 (id 22), through pollwake, in 8.2µs",
			efd.Wake{Waker: waker, Wakee: wakee, Object: "eventfd 29 (id 22)", EventFD: 22, Callback: "pollwake", Latency: 8231}},
		{"thread 26105's write woke thread 26111 out of its epoll_pwait on eventfd 29, through ep_poll_callback, in 1.2ms",
			efd.Wake{Waker: waker, Wakee: efd.Side{TID: 26111, Syscall: "epoll_pwait", FD: 4}, Object: "eventfd 29", EventFD: -1, Callback: "ep_poll_callback", Latency: 1234567}},
		{"thread 26105's write woke thread 26111", efd.Wake{Waker: waker, Wakee: efd.Side{TID: 26111, FD: -1}, EventFD: -1, Latency: -1}},
		{"thread 26105 woke thread 26111, which waited on socket 7, in 950ns",
			efd.Wake{Waker: by(func(s *efd.Side) { s.Syscall = "" }), Wakee: efd.Side{TID: 26111, FD: -1}, Object: "socket 7", EventFD: -1, Latency: 950}},
		{"thread 26105's sendto, in a softirq, woke thread 26111 out of its ppoll on socket 7, through pollwake",
			efd.Wake{Waker: by(func(s *efd.Side) { s.Syscall, s.Context = "sendto", "softirq" }), Wakee: wakee, Object: "socket 7", Callback: "pollwake", Latency: -1}},
		{"a softirq woke thread 26111 out of its ppoll, through pollwake", efd.Wake{Waker: efd.Side{FD: -1, Context: "softirq"}, Wakee: wakee, Callback: "pollwake", Latency: -1}},
		{"a time-out, in a hardirq, woke thread 26111 out of its ppoll, in 20µs",
			efd.Wake{Waker: efd.Side{FD: -1, Context: "hardirq"}, Wakee: wakee, Path: efd.Path{Name: "timeout"}, Latency: 20 * time.Microsecond}},
		{"kworker 17 woke thread 26111 out of its ppoll, through pollwake",
			efd.Wake{Waker: efd.Side{PID: 17, TID: 17, Comm: "kworker/0:1", FD: -1, Context: "kworker"}, Wakee: wakee, Callback: "pollwake", Latency: -1}},
		{"a kworker woke thread 26111 out of its ppoll", efd.Wake{Waker: efd.Side{FD: -1, Context: "kworker"}, Wakee: wakee, Latency: -1}},
		{"something woke thread 26111 out of its ppoll (incomplete)", efd.Wake{Waker: efd.Side{FD: -1, Context: "unknown"}, Wakee: wakee, Latency: -1, Incomplete: true}},
		{"a thread's write woke thread 26111 out of its ppoll", efd.Wake{Waker: by(func(s *efd.Side) { s.TID, s.PID = 0, 0 }), Wakee: wakee, Latency: -1}},
		{"thread 26105's write woke a thread", efd.Wake{Waker: waker, Wakee: none, Latency: -1}},
		{"thread 26105's write woke thread 26111 out of its ppoll on a\\x1b[2J 4", efd.Wake{Waker: waker, Wakee: wakee, Object: "a\x1b[2J 4", Latency: -1}},
		{"something woke a thread", efd.Wake{}},
	} {
		if got := c.w.String(); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}
