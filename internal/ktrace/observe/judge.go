//go:build linux

package observe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/match"
)

// Judged is a wake with its chains held against the documented paths.
type Judged struct {
	*Wake
	Kernel       string   // version that the paths hold for
	WakerSyscall string   // "" outside of any, as in an interrupt
	WakeeSyscall string   // that the woken thread slept in
	WakePaths    []string // the documented paths that apply, the waker's own first; none: no path is documented for it
	SleepPaths   []string
	Without      []string     // branches of WakePaths that cannot have been taken
	WakeAside    string       // what the waker was about instead of its call's purpose, as match.Doc.Aside has it
	SleepAside   string       // what the woken thread waited for instead of what its call waits for
	Stale        bool         // the woken thread's call or sleep that is on record is an earlier one: its callback is another call's
	WakeChain    *match.Chain // nil without a documented path
	SleepChain   *match.Chain

	Sleeping, Waked *Way // both calls as the function tracer saw them too, nil where it saw nothing of the call
}

// sources tell by a function on the chain what it was that woke: the object's
// own code, innermost first where one lies above another.
var sources = []struct{ function, path string }{
	{"hrtimer_wakeup", "timeout"},
	{"timerfd_tmrproc", "timerfd"},
	{"eventfd_write", "eventfd_write"},
	{"eventfd_read", "eventfd_read"},
	{"ioeventfd_write", "kvm_ioeventfd"},
	{"aio_complete", "aio"}, {"iocb_put", "aio"}, {"aio_complete_rw", "aio"}, {"aio_poll_complete_work", "aio"},
	{"io_eventfd_do_signal", "io_uring"}, {"io_eventfd_ops", "io_uring"}, {"io_eventfd_signal", "io_uring"}, {"__io_eventfd_signal", "io_uring"}, {"io_eventfd_flush_signal", "io_uring"}, {"io_cqring_ev_posted", "io_uring"}, {"__io_commit_cqring_flush", "io_uring"},
	{"mem_cgroup_threshold", "memcg"}, {"__mem_cgroup_threshold", "memcg"}, {"memcg1_check_events", "memcg"},
	{"vfio_msihandler", "vfio"},
	{"eventfd_signal", "eventfd_signal"}, {"eventfd_signal_mask", "eventfd_signal"},
	{"anon_pipe_write", "pipe"}, {"pipe_write", "pipe"}, {"anon_pipe_read", "pipe"}, {"pipe_read", "pipe"},
	{"tcp_check_space", "tcp_send_space"}, {"__tcp_check_space", "tcp_send_space"}, {"tcp_new_space", "tcp_send_space"}, {"sk_stream_write_space", "tcp_send_space"},
	{"tcp_v4_rcv", "tcp_receive"}, {"tcp_v6_rcv", "tcp_receive"}, {"tcp_v4_do_rcv", "tcp_receive"}, {"tcp_v6_do_rcv", "tcp_receive"}, {"tcp_rcv_established", "tcp_receive"},
	{"unix_stream_sendmsg", "unix"}, {"unix_dgram_sendmsg", "unix"},
	{"udp_queue_rcv_skb", "udp"}, {"udp_queue_rcv_one_skb", "udp"}, {"__udp_enqueue_schedule_skb", "udp"}, {"udp_unicast_rcv_skb", "udp"},
	{"complete_signal", "signal"},
	{"__send_signal_locked", "signalfd"}, {"__send_signal", "signalfd"}, {"posixtimer_queue_sigqueue", "signalfd"}, {"posixtimer_send_sigqueue", "signalfd"}, {"send_sigqueue", "signalfd"},
	{"do_notify_pidfd", "pidfd"}, {"do_notify_parent", "pidfd"},
	{"flush_to_ldisc", "pty"}, {"n_tty_receive_buf_common", "pty"},
	{"fsnotify_insert_event", "inotify"}, {"fsnotify", "inotify"}, {"inotify_handle_inode_event", "inotify"},
	{"evdev_pass_values", "input"}, {"evdev_events", "input"}, {"input_event", "input"},
	{"do_epoll_ctl", "epoll_ctl"}, {"do_epoll_ctl_file", "epoll_ctl"}, {"do_epoll_wait", "epoll_wait"}, {"ep_send_events", "epoll_wait"},
}

// WakeSource names the documented path of what woke, by the functions on the
// chain, "" where none is known.
func WakeSource(inner []ktrace.Frame) string {
	// An io_uring that polls passes the wake of another object on.
	polled := func(f ktrace.Frame) bool { return match.BaseName(f.Name) == "io_poll_wake" }
	if i := slices.IndexFunc(inner, polled); i >= 0 {
		if source := WakeSource(inner[i+1:]); source != "" {
			return source
		}
	}
	names := map[string]bool{}
	for _, f := range inner {
		names[match.BaseName(f.Name)] = true
		for _, a := range f.Aliases {
			names[match.BaseName(a)] = true
		}
	}
	for _, s := range sources {
		if names[s.function] {
			return s.path
		}
	}
	return ""
}

// WakePaths are the documented paths that apply to a wake of a thread in the
// system call waiter: the source's own and the callback's.
func WakePaths(source, waiter string, callbacks []string) []string {
	if source == "" {
		return nil
	}
	out := []string{source}
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	switch waiter {
	case "poll", "ppoll", "select", "pselect6", "restart_syscall":
		add("poll_wake")
	case "epoll_wait", "epoll_pwait", "epoll_pwait2":
		add("epoll_wake")
	case "":
		if slices.Contains(callbacks, "pollwake") {
			add("poll_wake")
		}
	}
	if source == "epoll_ctl" || source == "epoll_wait" {
		add("epoll_wake") // an epoll's own queue is woken, by no callback
	}
	for _, path := range callbackPaths(callbacks) {
		add(path)
	}
	return out
}

// callbackPaths are the documented paths that go on from wait-queue callbacks.
func callbackPaths(callbacks []string) (paths []string) {
	for _, c := range []struct{ callback, path string }{{"ep_poll_callback", "epoll_wake"}, {"irqfd_wakeup", "kvm_irqfd"}, {"vhost_poll_wakeup", "vhost"}, {"io_poll_wake", "io_uring"}} {
		if slices.Contains(callbacks, c.callback) {
			paths = append(paths, c.path)
		}
	}
	return paths
}

// notWoken are the branches of a wake's path that end in other kinds of
// waiters than a thread in this system call. Left in, they would excuse a
// frame that is missing: a blocked reader's wake has no pollwake.
func notWoken(source, waiter string, callbacks []string) []string {
	sleepers := []string{"blocked", "sleeper", "socket-sleeper", "tty-sleeper"} // in a read or write of the object itself
	out := []string{"irqfd", "vhost", "virqfd"}
	switch {
	case slices.Contains(callbacks, "irqfd_wakeup"):
		return append(sleepers, "vhost", "poller", "epoll", "epoll-waiter", "epoll-outer", "sync")
	case slices.Contains(callbacks, "vhost_poll_wakeup"):
		return append(sleepers, "irqfd", "poller", "epoll", "epoll-waiter", "epoll-outer", "sync")
	}
	nested := 0
	if source == "epoll_ctl" { // it wakes as ep_poll_callback does
		nested++
	}
	for _, c := range callbacks {
		if c == "ep_poll_callback" {
			nested++
		}
	}
	poller := []string{"poller"}
	epoll := []string{"epoll", "epoll-waiter", "sync"}
	switch waiter {
	case "poll", "ppoll", "select", "pselect6", "restart_syscall":
		out = append(append(out, sleepers...), "epoll-waiter")
		if nested == 0 { // a poll on an epoll goes through the epoll's callback
			out = append(out, "epoll", "sync", "epoll-outer")
		}
	case "epoll_wait", "epoll_pwait", "epoll_pwait2":
		out = append(append(out, sleepers...), poller...)
		if nested < 2 {
			out = append(out, "epoll-outer")
		}
	case "":
	default:
		out = append(append(append(out, "epoll-outer"), poller...), epoll...)
	}
	return out
}

// sleepPaths are the documented paths of a sleep in a system call.
func sleepPaths(name string, stack []ktrace.Frame) []string {
	paths := callPaths(name, stack)
	if polls(name) && slices.ContainsFunc(stack, func(f ktrace.Frame) bool { return match.BaseName(f.Name) == "n_tty_poll" }) {
		paths = append(paths, "pty") // a terminal's poll sleeps itself
	}
	return paths
}

func callPaths(name string, stack []ktrace.Frame) []string {
	switch name {
	case "poll", "ppoll", "select", "pselect6":
		return []string{name}
	case "epoll_wait", "epoll_pwait", "epoll_pwait2":
		return []string{"epoll_wait"}
	case "restart_syscall":
		return []string{"poll_restart", "poll"}
	case "read", "readv", "write", "writev":
		for _, f := range stack {
			switch match.BaseName(f.Name) {
			case "eventfd_read", "eventfd_write":
				return []string{match.BaseName(f.Name)}
			}
		}
	}
	return nil
}

// leaves are the functions that the scheduler's tracepoints fire in.
var (
	wakeLeaf  = []string{"try_to_wake_up"}
	sleepLeaf = []string{"__schedule", "schedule"}
)

// Judge holds a wake against the documented paths of this kernel that its
// chains point to.
func (k *Kernel) Judge(w *Wake) *Judged { return k.JudgeAs(w, "", "") }

// JudgeAs holds a wake against documented paths that are known beforehand:
// what woke, and how the woken thread came to sleep, "" leaves it to the chain;
// and the branches that what woke cannot have taken.
func (k *Kernel) JudgeAs(w *Wake, source, sleepPath string, without ...string) *Judged {
	j := &Judged{Wake: w, Kernel: k.Version.String()}
	cut := match.SplitWaking(&w.Waking)
	if cut.Interrupted || cut.Context == match.KWorker {
		j.WakerSyscall = ""
	} else {
		j.WakerSyscall = k.syscall(&w.Waker, append(slices.Clone(cut.Inner), cut.Outer...))
	}
	var sleep []ktrace.Frame
	if w.Sleep != nil && w.Sleep.Chain != nil {
		sleep = w.Sleep.Chain.Stack
	}
	if sleep != nil && !match.Sleeps(w.Sleep.Chain) {
		sleep = nil // no evidence of how it went to sleep
	}
	j.WakeeSyscall = k.syscall(&w.Wakee, sleep)
	waiter := j.WakeeSyscall
	if kind := waitsIn(w.Callbacks); kind != "" && !sameKind(waiter, kind) {
		waiter = kind
		j.Stale, j.WakeeSyscall = j.WakeeSyscall != "", ChainSyscall(sleep)
		if !sameKind(j.WakeeSyscall, kind) {
			j.WakeeSyscall, sleep = "", nil
		}
	}
	if source == "" || cut.Context == match.Unknown {
		source = k.wakeAside(j, WakeSource(cut.Inner), waiter, cut.Inner)
	}
	j.WakePaths = WakePaths(source, waiter, w.Callbacks)
	if match.Compat(w.Waking.Stack) {
		j.WakePaths = nil // the documented ways in are those of 64-bit programs
	}
	j.Without = append(notWoken(source, waiter, w.Callbacks), without...)
	if d := k.Doc(j.WakePaths, j.Without); d != nil && len(cut.Inner) > 0 {
		j.WakeChain = k.match(d, &w.Waking, wakeLeaf...)
	}
	j.SleepPaths = []string{sleepPath}
	if sleepPath == "" {
		j.SleepPaths = sleepPaths(j.WakeeSyscall, sleep)
	}
	if match.Compat(sleep) {
		j.SleepPaths = nil
	}
	d := k.Doc(j.SleepPaths, nil)
	j.SleepAside, _ = d.Aside(match.Split(sleep).Inner, true)
	if d != nil && len(sleep) > 0 && j.SleepAside == "" {
		j.SleepChain = k.match(d, w.Sleep.Chain, sleepLeaf...)
	}
	return j
}

// wakeAside notes what a waker was about beside its call's purpose, and
// returns the source that is left then: an allocation that one call made may
// have passed the threshold of another eventfd.
func (k *Kernel) wakeAside(j *Judged, source, waiter string, inner []ktrace.Frame) string {
	d := k.Doc(WakePaths(source, waiter, j.Callbacks), nil)
	what, n := d.Aside(inner, false)
	if what == "" {
		return source
	}
	if own := WakeSource(inner[:n]); own != "" {
		return own
	}
	j.WakeAside = what
	return ""
}

// waitsIn is a call of the kind that callbacks are the wait-queue entries of,
// "" where they do not tell.
func waitsIn(callbacks []string) string {
	if len(callbacks) == 0 {
		return ""
	}
	switch callbacks[len(callbacks)-1] {
	case "pollwake":
		return "ppoll"
	case "ep_autoremove_wake_function":
		return "epoll_wait"
	case "autoremove_wake_function", "default_wake_function":
		if len(callbacks) > 1 && callbacks[len(callbacks)-2] == "ep_poll_callback" {
			return "epoll_wait"
		}
	}
	return ""
}

// sameKind reports whether two calls leave the same callback on a wait queue.
func sameKind(a, b string) bool {
	return polls(a) && polls(b) && strings.HasPrefix(a, "epoll_") == strings.HasPrefix(b, "epoll_")
}

// WakeeFD is the descriptor that the woken thread waits on, -1 where its call
// has several or it is not known.
func (j *Judged) WakeeFD() int {
	c := j.Wakee.Call
	if c == nil || c.Doubtful || c.NoArgs || c.Enter == 0 && c.Nr < 0 {
		return -1
	}
	switch j.WakeeSyscall {
	case "read", "readv", "write", "writev", "epoll_wait", "epoll_pwait", "epoll_pwait2":
		return int(int32(c.Args[0]))
	}
	return -1
}

// RanIn reports whether the waker is a softirq that ran on top of a thread,
// which is Waker and woke nobody itself.
func (j *Judged) RanIn() bool {
	return j.Context == match.SoftIRQ && j.Interrupted && j.Waker.TID != 0
}

// NoWaker says why a wake's Context is match.Unknown.
func (j *Judged) NoWaker() string {
	if match.CutOff(&j.Waking) {
		return match.CutBy(&j.Waking)
	}
	return NoWaker
}

// NoSleep says why the chain of the sleep that a wake ended tells nothing, ""
// if the kernel did not cut it.
func (j *Judged) NoSleep() string {
	if j.Sleep != nil && j.Sleep.Chain != nil && match.CutOff(j.Sleep.Chain) {
		return match.CutBy(j.Sleep.Chain)
	}
	return ""
}

// NoWaker is the reason if the chain is that of something else.
const NoWaker = "no function that wakes is on the call chain that was recorded with it"

// Describe says in a few words who woke and how.
func (j *Judged) Describe() string {
	who := fmt.Sprintf("thread %d (%s)", j.Waker.TID, j.Waker.Comm)
	switch {
	case j.Context == match.Unknown:
		return "an unknown waker: " + j.NoWaker()
	case j.Interrupted:
		who = "a " + string(j.Context) + " on top of " + who
	case j.Context != match.Task:
		who = "a " + string(j.Context)
	case j.WakerSyscall != "":
		who += " in " + j.WakerSyscall
	}
	if j.Callback != "" {
		who += ", through " + j.Callback
	}
	return who
}

// WakeRoute is the documented way of a wake: from the call that wakes, over
// the callbacks, to the scheduler. branches are those that it takes where the
// documents have several.
func (k *Kernel) WakeRoute(source, waiter string, callbacks, branches []string) []ktrace.Edge {
	d := k.Doc(WakePaths(source, waiter, callbacks), notWoken(source, waiter, callbacks))
	if d == nil {
		return nil
	}
	return fromBody(d.Route(branches, append(slices.Clone(callbacks), "try_to_wake_up")...))
}

// SleepRoute is the documented way from a system call to the scheduler.
func (k *Kernel) SleepRoute(name, sleepPath string) []ktrace.Edge {
	paths := []string{sleepPath}
	if sleepPath == "" {
		paths = sleepPaths(name, nil)
	}
	d := k.Doc(paths, nil)
	if d == nil {
		return nil
	}
	// A file's own functions are roots too: a sleep in read is in its reading one.
	roots := slices.DeleteFunc(d.Roots(), func(r string) bool { return !strings.HasSuffix(r, "_"+name) || strings.Contains(r, "_sys_") })
	if len(roots) == 0 {
		roots = d.Roots()
	}
	return fromBody(d.RouteFrom(roots, nil, k.Entry(name), "schedule"))
}

// Entry is the function that the kernel's table has for a system call, or for
// the one that libraries make in its place.
func (k *Kernel) Entry(name string) string {
	if name == "epoll_wait" && len(syscallNumbers(k.Arch, name)) == 0 {
		name = "epoll_pwait"
	}
	if k.Arch == "arm64" {
		return "__arm64_sys_" + name
	}
	return "__x64_sys_" + name
}

// fromBody drops the way from user space to the system call's own function,
// which is the same for all.
func fromBody(edges []ktrace.Edge) []ktrace.Edge {
	for i, e := range edges {
		if strings.HasPrefix(e.Caller, "__x64_sys_") || strings.HasPrefix(e.Caller, "__arm64_sys_") {
			return edges[i:]
		}
	}
	return edges
}
