//go:build linux

package match

import (
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// symset is the symbols of a kernel: source name to symbols.
type symset map[string][]string

func (s symset) Variants(name string) []string { return s[name] }

func syms(names ...string) symset {
	s := symset{}
	for _, n := range names {
		base := BaseName(n)
		s[base] = append(s[base], n)
	}
	return s
}

func edge(caller, callee string, opts ...string) ktrace.Edge {
	e := ktrace.Edge{Caller: caller, Callee: callee, Kind: ktrace.Direct, Proved: true}
	for _, o := range opts {
		switch {
		case o == "unproved":
			e.Proved = false
		case o == "tail":
			e.Tail = ktrace.Builds{"x86-64": "text of 6.18"}
		default:
			e.Kind = ktrace.Kind(o)
		}
	}
	return e
}

// The paths of 6.18 as far as its chains go.
func write618() *ktrace.Path {
	return &ktrace.Path{Name: "eventfd_write", Roots: []string{"sys_write"}, Edges: []ktrace.Edge{
		edge("sys_write", "ksys_write", "tail"), edge("ksys_write", "vfs_write"), edge("vfs_write", "eventfd_write", "pointer"),
		edge("eventfd_write", "wake_up_locked_poll", "macro"), edge("wake_up_locked_poll", "__wake_up_locked_key"),
		edge("__wake_up_locked_key", "__wake_up_common", "tail"), edge("__wake_up_common", "autoremove_wake_function", "pointer"),
		edge("autoremove_wake_function", "default_wake_function"), edge("default_wake_function", "try_to_wake_up", "tail"),
	}}
}

func pollWake618() *ktrace.Path {
	return &ktrace.Path{Name: "poll_wake", Roots: []string{"__wake_up_common"}, Edges: []ktrace.Edge{
		edge("__wake_up_common", "pollwake", "pointer"), edge("pollwake", "__pollwake"),
		edge("__pollwake", "default_wake_function"), edge("default_wake_function", "try_to_wake_up", "tail"),
	}}
}

func epollWake618() *ktrace.Path {
	return &ktrace.Path{Name: "epoll_wake", Roots: []string{"__wake_up_common"}, Edges: []ktrace.Edge{
		edge("__wake_up_common", "ep_poll_callback", "pointer"), edge("ep_poll_callback", "wake_up", "macro"),
		edge("wake_up", "__wake_up"), edge("__wake_up", "__wake_up_common_lock"), edge("__wake_up_common_lock", "__wake_up_common"),
		edge("__wake_up_common", "ep_autoremove_wake_function", "pointer"),
		edge("ep_autoremove_wake_function", "default_wake_function"), edge("default_wake_function", "try_to_wake_up", "tail"),
	}}
}

func ppoll618() *ktrace.Path {
	return &ktrace.Path{Name: "ppoll", Roots: []string{"sys_ppoll"}, Edges: []ktrace.Edge{
		edge("sys_ppoll", "do_sys_poll"), edge("do_sys_poll", "do_poll"), edge("do_poll", "poll_schedule_timeout"),
		edge("poll_schedule_timeout", "schedule_hrtimeout_range"), edge("schedule_hrtimeout_range", "schedule_hrtimeout_range_clock", "tail"),
		edge("schedule_hrtimeout_range_clock", "schedule"),
	}}
}

var syms618 = syms("__x64_sys_write", "__x64_sys_ppoll", "ksys_write", "vfs_write", "eventfd_write", "__wake_up_locked_key", "__wake_up_common",
	"autoremove_wake_function", "default_wake_function", "try_to_wake_up", "pollwake", "ep_poll_callback", "__wake_up", "ep_autoremove_wake_function",
	"do_sys_poll", "poll_schedule_timeout.constprop.0", "schedule_hrtimeout_range", "schedule_hrtimeout_range_clock", "schedule", "__schedule")

// Chains as this kernel gives them, leaf first.
const (
	readWake  = "try_to_wake_up autoremove_wake_function __wake_up_common eventfd_write vfs_write ksys_write do_syscall_64 entry_SYSCALL_64_after_hwframe"
	ppollWake = "try_to_wake_up pollwake __wake_up_common eventfd_write vfs_write ksys_write do_syscall_64 entry_SYSCALL_64_after_hwframe"
	epollWake = "try_to_wake_up ep_autoremove_wake_function __wake_up_common __wake_up ep_poll_callback __wake_up_common eventfd_write vfs_write ksys_write do_syscall_64 entry_SYSCALL_64_after_hwframe"
	ppollSlp  = "schedule schedule_hrtimeout_range_clock poll_schedule_timeout.constprop.0 do_sys_poll __x64_sys_ppoll do_syscall_64 entry_SYSCALL_64_after_hwframe"
)

func event(chain string) *ktrace.Event {
	ev := &ktrace.Event{Kind: ktrace.Waking, Source: "sched:sched_waking"}
	for _, n := range strings.Fields(chain) {
		names := strings.Split(n, "=")
		ev.Stack = append(ev.Stack, ktrace.Frame{Name: names[0], Aliases: names[1:]})
	}
	return ev
}

// without removes the first frame of that name.
func without(chain, name string) string {
	f := strings.Fields(chain)
	i := slices.Index(f, name)
	return strings.Join(slices.Delete(f, i, i+1), " ")
}

func verdictOf(t *testing.T, c *Chain, caller, callee string) Step {
	t.Helper()
	for _, s := range c.Steps {
		if s.Caller == caller && s.Callee == callee {
			return s
		}
	}
	t.Fatalf("no edge %s -> %s in %v", caller, callee, brief(c))
	return Step{}
}

func brief(c *Chain) (out []string) {
	for _, s := range c.Steps {
		out = append(out, s.Caller+">"+s.Callee+" "+string(s.Verdict))
	}
	return out
}

func TestUnchangedChainsHaveNoFinding(t *testing.T) {
	for name, c := range map[string]struct {
		chain string
		doc   *Doc
		leaf  string
		cb    string
	}{
		"read":  {readWake, NewDoc(syms618, nil, write618()), "try_to_wake_up", "autoremove_wake_function"},
		"ppoll": {ppollWake, NewDoc(syms618, nil, write618(), pollWake618()), "try_to_wake_up", "pollwake"},
		"epoll": {epollWake, NewDoc(syms618, nil, write618(), epollWake618()), "try_to_wake_up", "ep_poll_callback"},
		"sleep": {ppollSlp, NewDoc(syms618, nil, ppoll618()), "schedule", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.doc.Match(event(c.chain), c.leaf)
			if f := got.Findings(); len(f) != 0 {
				t.Errorf("findings %+v", f)
			}
			if got.Callback != c.cb {
				t.Errorf("callback %q, want %q", got.Callback, c.cb)
			}
			if len(got.Steps) < 6 {
				t.Errorf("only %v", brief(got))
			}
		})
	}
}

func TestCausesOfMissingFrames(t *testing.T) {
	c := NewDoc(syms618, nil, write618(), pollWake618()).Match(event(ppollWake), "try_to_wake_up")
	for _, w := range []struct {
		caller, callee string
		verdict        ktrace.Verdict
		evidence       string
	}{
		{"sys_write", "ksys_write", ktrace.TailCall, "sys_write ends in a jump to ksys_write (in another build, x86-64: text of 6.18)"},
		{"ksys_write", "vfs_write", ktrace.Seen, "sched:sched_waking"},
		{"eventfd_write", "wake_up_locked_poll", ktrace.Inlined, "is a macro"},
		{"wake_up_locked_poll", "__wake_up_locked_key", ktrace.TailCall, "__wake_up_locked_key ends in a jump to __wake_up_common"},
		{"__wake_up_locked_key", "__wake_up_common", ktrace.TailCall, "ends in a jump"},
		{"__wake_up_common", "pollwake", ktrace.Seen, ""},
		{"pollwake", "__pollwake", ktrace.Inlined, "no such symbol"},
		{"__pollwake", "default_wake_function", ktrace.TailCall, ""},
		{"default_wake_function", "try_to_wake_up", ktrace.TailCall, ""},
	} {
		s := verdictOf(t, c, w.caller, w.callee)
		if s.Verdict != w.verdict || !strings.Contains(s.Evidence, w.evidence) {
			t.Errorf("%s -> %s: %s (%s), want %s (…%s…)", w.caller, w.callee, s.Verdict, s.Evidence, w.verdict, w.evidence)
		}
	}
	c = NewDoc(syms618, nil, ppoll618()).Match(event(ppollSlp), "schedule")
	if s := verdictOf(t, c, "do_poll", "poll_schedule_timeout"); s.Verdict != ktrace.Renamed || !strings.Contains(s.Evidence, "poll_schedule_timeout.constprop.0") {
		t.Errorf("do_poll -> poll_schedule_timeout: %s (%s)", s.Verdict, s.Evidence)
	}
}

// Removing any one frame of the documented part must be found out, for every
// chain: none of these frames is left out by a jump or by inlining.
func TestRemovedFrameIsContradicted(t *testing.T) {
	for chain, doc := range map[string]*Doc{
		readWake:  NewDoc(syms618, nil, write618()),
		ppollWake: NewDoc(syms618, nil, write618(), pollWake618()),
		epollWake: NewDoc(syms618, nil, write618(), epollWake618()),
		ppollSlp:  NewDoc(syms618, nil, ppoll618()),
	} {
		leaf := strings.Fields(chain)[0]
		for i, name := range strings.Fields(chain) {
			if isEntry(name) {
				continue
			}
			f := strings.Fields(chain)
			got := doc.Match(event(strings.Join(slices.Delete(f, i, i+1), " ")), leaf)
			if !slices.ContainsFunc(got.Steps, func(s Step) bool { return s.Verdict == ktrace.Contradicted }) {
				t.Errorf("%s removed from %q: %v", name, chain, brief(got))
			}
		}
	}
}

// A wrong name in the catalogue must not be excused, not even where the real
// function is compiled into its caller: what is not in the source is not proved.
func TestMisspeltCalleeIsContradicted(t *testing.T) {
	cases := []struct {
		chain string
		paths func() []*ktrace.Path
	}{
		{ppollWake, func() []*ktrace.Path { return []*ktrace.Path{write618(), pollWake618()} }},
		{epollWake, func() []*ktrace.Path { return []*ktrace.Path{write618(), epollWake618()} }},
		{ppollSlp, func() []*ktrace.Path { return []*ktrace.Path{ppoll618()} }},
	}
	for _, c := range cases {
		leaf := strings.Fields(c.chain)[0]
		onChain := NewDoc(syms618, nil, c.paths()[0], c.paths()[1:]...).Match(event(c.chain), leaf)
		for _, s := range onChain.Steps {
			for _, everywhere := range []bool{false, true} {
				paths := c.paths()
				for _, p := range paths {
					for i := range p.Edges {
						e := &p.Edges[i]
						if e.Caller == s.Caller && e.Callee == s.Callee || everywhere && e.Callee == s.Callee {
							e.Callee, e.Proved, e.Tail = e.Callee+"x", false, nil
						}
						if everywhere && e.Caller == s.Callee {
							e.Caller, e.Tail = e.Caller+"x", nil
						}
					}
				}
				if s.Callee == paths[0].Roots[0] {
					continue // the call table's edge is not the catalogue's
				}
				got := NewDoc(syms618, nil, paths[0], paths[1:]...).Match(event(c.chain), leaf)
				if len(got.Findings()) == 0 {
					t.Errorf("%s misspelt (everywhere: %v) under %s: %v", s.Callee, everywhere, s.Caller, brief(got))
				}
			}
		}
	}
}

// With every path at once, a frame that is gone would be excused by another
// path's call: a wake of epoll goes __wake_up_common -> ... -> __wake_up_common.
func TestUnknownFrameIsUndocumented(t *testing.T) {
	doc := NewDoc(syms618, nil, write618(), pollWake618())
	got := doc.Match(event(strings.Replace(ppollWake, "vfs_write", "surprise vfs_write", 1)), "try_to_wake_up")
	if s := verdictOf(t, got, "vfs_write", "surprise"); s.Verdict != ktrace.Undocumented {
		t.Errorf("vfs_write -> surprise: %s", s.Verdict)
	}
	got = doc.Match(event(epollWake), "try_to_wake_up")
	if len(got.Findings()) == 0 {
		t.Errorf("an epoll's wake passed for a poller's: %v", brief(got))
	}
}

func TestAliasesAndSuffixes(t *testing.T) {
	doc := NewDoc(syms618, nil, ppoll618())
	got := doc.Match(event(strings.Replace(ppollSlp, "do_sys_poll", "do_compat_poll.part.0=do_sys_poll.part.0", 1)), "schedule")
	if s := verdictOf(t, got, "sys_ppoll", "do_sys_poll"); s.Verdict != ktrace.Renamed || s.Symbol != "do_sys_poll.part.0" || len(got.Findings()) != 0 {
		t.Errorf("an alias: %s as %s, %v", s.Verdict, s.Symbol, got.Findings())
	}
	got = doc.Match(event(strings.Replace(ppollSlp, "do_sys_poll", "do_sys_poll.cold", 1)), "schedule")
	if s := verdictOf(t, got, "sys_ppoll", "do_sys_poll"); s.Verdict != ktrace.Renamed {
		t.Errorf(".cold: %s", s.Verdict)
	}
}

// A timer that fires while a task is inside eventfd_write wakes somebody: the
// chain has eventfd_write in it, and the write has nothing to do with it.
func TestInterruptIsNotBlamedOnTheInterrupted(t *testing.T) {
	chain := "try_to_wake_up hrtimer_wakeup __hrtimer_run_queues hrtimer_interrupt __sysvec_apic_timer_interrupt sysvec_apic_timer_interrupt asm_sysvec_apic_timer_interrupt _raw_spin_unlock_irq " + without(ppollWake, "try_to_wake_up")
	got := NewDoc(syms618, nil, write618(), pollWake618()).Match(event(chain), "try_to_wake_up")
	if got.Context != HardIRQ || !got.Interrupted || got.Callback != "" {
		t.Errorf("context %s, interrupted %v, callback %q", got.Context, got.Interrupted, got.Callback)
	}
	timeout := &ktrace.Path{Name: "timeout", Roots: []string{"hrtimer_interrupt"}, Edges: []ktrace.Edge{
		edge("hrtimer_interrupt", "__hrtimer_run_queues"), edge("__hrtimer_run_queues", "__run_hrtimer"), edge("__run_hrtimer", "hrtimer_wakeup", "pointer"),
		edge("hrtimer_wakeup", "wake_up_process"), edge("wake_up_process", "try_to_wake_up", "tail"),
	}}
	all := syms("hrtimer_interrupt", "__hrtimer_run_queues", "hrtimer_wakeup", "wake_up_process", "try_to_wake_up")
	got = NewDoc(all, nil, timeout).Match(event(chain), "try_to_wake_up")
	if f := got.Findings(); len(f) != 0 {
		t.Errorf("the timer's own path: %+v", f)
	}
}

func TestContexts(t *testing.T) {
	for chain, want := range map[string]Context{
		ppollWake: Task,
		"try_to_wake_up sock_def_readable tcp_v4_rcv net_rx_action handle_softirqs do_softirq __local_bh_enable_ip __dev_queue_xmit tcp_sendmsg":                                                            SoftIRQ,
		"try_to_wake_up run_timer_softirq handle_softirqs __irq_exit_rcu sysvec_apic_timer_interrupt asm_sysvec_apic_timer_interrupt vfs_write":                                                             SoftIRQ,
		"try_to_wake_up n_tty_receive_buf_common flush_to_ldisc process_one_work worker_thread kthread ret_from_fork":                                                                                       KWorker,
		"try_to_wake_up pollwake __wake_up_common __wake_up do_notify_parent do_exit do_group_exit get_signal arch_do_signal_or_restart irqentry_exit_to_user_mode asm_sysvec_reschedule_ipi":               Task,
		"try_to_wake_up pollwake __wake_up do_notify_parent do_exit do_group_exit get_signal do_signal exit_to_usermode_loop prepare_exit_to_usermode retint_user apic_timer_interrupt":                     Task,
		"try_to_wake_up pollwake __wake_up do_notify_pidfd do_exit do_group_exit get_signal do_notify_resume el0_interrupt el0t_64_irq_handler el0t_64_irq":                                                 Task,
		"try_to_wake_up hrtimer_wakeup hrtimer_interrupt sysvec_apic_timer_interrupt asm_sysvec_apic_timer_interrupt do_exit do_group_exit get_signal irqentry_exit_to_user_mode asm_sysvec_reschedule_ipi": HardIRQ,
		"try_to_wake_up x el1_interrupt el1h_64_irq_handler el1h_64_irq eventfd_write":                                                                                                                      HardIRQ,
	} {
		if got := Split(event(chain).Stack); got.Context != want {
			t.Errorf("%s: %s, want %s", chain, got.Context, want)
		}
	}
}

// A softirq is a thread's own doing at the end of its own send alone.
func TestOwnSoftIRQ(t *testing.T) {
	const received = "try_to_wake_up sock_def_readable tcp_v4_rcv process_backlog __napi_poll net_rx_action handle_softirqs "
	for chain, own := range map[string]bool{
		received + "do_softirq.part.0 __local_bh_enable_ip __dev_queue_xmit ip_finish_output2 tcp_write_xmit tcp_sendmsg do_writev do_syscall_64": true,
		received + "asm_call_irq_on_stack do_softirq_own_stack do_softirq __local_bh_enable_ip ip_finish_output2 __ip_queue_xmit tcp_sendmsg":     true,
		received + "__do_softirq ____do_softirq call_on_irq_stack do_softirq_own_stack do_softirq __local_bh_enable_ip ip6_finish_output2":        true,
		received + "do_softirq.part.0 __local_bh_enable_ip __fpu_restore_sig fpu__restore_sig __do_sys_rt_sigreturn do_syscall_64":                false,
		received + "do_softirq.part.0 __local_bh_enable_ip release_sock tcp_recvmsg sock_read_iter vfs_read ksys_read do_syscall_64":              false,
		received + "do_softirq __local_bh_enable_ip nf_conntrack_in nf_hook_slow __ip_local_out __ip_queue_xmit tcp_write_xmit tcp_sendmsg":       false,
		received + "run_ksoftirqd smpboot_thread_fn kthread ret_from_fork":                                                                        false,
		received + "__irq_exit_rcu sysvec_apic_timer_interrupt asm_sysvec_apic_timer_interrupt __dev_queue_xmit ip_finish_output2 tcp_sendmsg":    false,
		received + "call_on_irq_stack do_interrupt_handler el1_interrupt el1h_64_irq_handler el1h_64_irq __dev_queue_xmit tcp_sendmsg":            false,
		"try_to_wake_up tcp_v4_rcv virtnet_poll __napi_poll net_rx_action handle_softirqs do_softirq __local_bh_enable_ip __dev_queue_xmit":       false,
		"try_to_wake_up call_timer_fn run_timer_softirq handle_softirqs do_softirq __local_bh_enable_ip __dev_queue_xmit tcp_sendmsg":             false,
	} {
		if got := Split(event(chain).Stack); got.Context != SoftIRQ || got.Interrupted == own {
			t.Errorf("%s: %s, interrupted %v", chain, got.Context, got.Interrupted)
		}
	}
}

// A chain as deep as chains can be may have lost its outer end.
func TestTruncatedChain(t *testing.T) {
	f := strings.Fields(ppollWake)
	ev := event(strings.Join(f[:4], " "))
	doc := NewDoc(syms618, nil, write618(), pollWake618())
	if got := doc.Match(ev, "try_to_wake_up"); len(got.Findings()) == 0 {
		t.Errorf("a chain without its start passed: %v", brief(got))
	}
	ev.Truncated = true
	if got := doc.Match(ev, "try_to_wake_up"); len(got.Findings()) != 0 {
		t.Errorf("a truncated chain: %v", got.Findings())
	}
}

// Without symbols nothing is excused as inlined, and nothing is contradicted
// by its absence either.
func TestUnknownSymbols(t *testing.T) {
	c := NewDoc(nil, nil, write618(), pollWake618()).Match(event(ppollWake), "try_to_wake_up")
	if s := verdictOf(t, c, "pollwake", "__pollwake"); s.Verdict != ktrace.Inconclusive {
		t.Errorf("%s (%s)", s.Verdict, s.Evidence)
	}
}

func TestTracerFramesAreDropped(t *testing.T) {
	got := NewDoc(syms618, nil, write618(), pollWake618()).Match(event("perf_trace_sched_wakeup_template __traceiter_sched_waking "+ppollWake), "try_to_wake_up")
	if len(got.Findings()) != 0 || got.Inner[0].Name != "try_to_wake_up" {
		t.Errorf("%v", brief(got))
	}
}

func BenchmarkMatchEpoll(b *testing.B) {
	doc := NewDoc(syms618, nil, write618(), epollWake618())
	ev := event(epollWake)
	b.ReportAllocs()
	for b.Loop() {
		doc.Match(ev, "try_to_wake_up")
	}
}

// What another build's text explains counts apart from what this kernel's does.
func TestBorrowedGround(t *testing.T) {
	d := NewDoc(allSymbols{}, nil, &ktrace.Path{Roots: []string{"a"}, Edges: []ktrace.Edge{
		{Caller: "a", Callee: "b", Proved: true, Kind: ktrace.Direct, Inlined: ktrace.Builds{"x86-64": "text of 6.18.44"}}, {Caller: "b", Callee: "c", Proved: true, Kind: ktrace.Direct}}})
	steps := d.Match(event("c a")).Steps
	for _, s := range steps {
		if !s.Borrowed || s.Verdict != ktrace.Inlined && s.Verdict != ktrace.Seen {
			t.Errorf("%s -> %s: %s, borrowed %v", s.Caller, s.Callee, s.Verdict, s.Borrowed)
		}
	}
	if s := stepOf(t, steps, "a", "b"); !strings.Contains(s.Evidence, "in another build, x86-64: text of 6.18.44") {
		t.Errorf("%s", s.Evidence)
	}
}
