//go:build linux

// Package tiers determines by trying which parts of the kernel are observable
// here: tier by tier, with the exact missing thing and the smallest change that
// provides it.
package tiers

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/access"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/rights"
	"github.com/efd-go/efd/internal/ktrace/running"
	"github.com/efd-go/efd/internal/ktrace/source/ftrace"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/watch"
	"golang.org/x/sys/unix"
)

// Tier is one step of observability. It is available only if it delivers: the
// kernel may grant an event that never fires.
type Tier struct {
	Name     string
	Gives    string // the events that it shows
	OK       bool   // it delivers
	Opens    bool   // the kernel gives it
	Delivers bool   // something was made to happen, and came
	Missing  string // if it is not OK: the missing thing
	Change   string // and the smallest change that gives it, "" if there is none on this kernel
	Detail   string // if it is OK: how
}

// The names of the tiers, in their order.
const (
	Nothing     = "nothing"
	OwnSwitches = "own switches"
	OwnThreads  = "own threads"
	System      = "whole system"
	Names       = "names"
	Payloads    = "payloads"
	Allocations = "allocations"
	Watchpoints = "watchpoints"
	Text        = "kernel text"
	Functions   = "function tracer"
	Queues      = "wait queues"
)

// Report lists the observable parts of the kernel.
type Report struct {
	Kernel, Arch string
	Tiers        []Tier
	Facts        []Fact
}

// Fact is a property of this system that affects observability.
type Fact struct{ Name, Value string }

// TextProbe tries to read kernel text; it comes from programs that can
// disassemble it. how says where it is read from.
type TextProbe func(*ksym.Table) (how string, err error)

// Probe tries everything. text may be nil, and queues too, which tries to read
// the wait queues of all open files.
func Probe(text TextProbe, queues func() error) *Report {
	r := &Report{}
	r.Kernel, r.Arch = running.Release(), running.Machine()
	how, id, idErr := access.EventID()
	syms, symErr := ksym.Load()
	detail := ""
	if symErr == nil {
		detail = "/proc/kallsyms"
	}
	own := access.Try(id, idErr, perf.Want{Chain: true})
	system := access.Try(id, idErr, perf.Want{Chain: true, System: true})
	raw := access.Try(id, idErr, perf.Want{Chain: true, Raw: true})
	var d access.Delivery
	if idErr == nil && own == nil && raw == nil {
		var src *perf.Source
		if d, src = access.Deliver(syms, system == nil); src != nil {
			defer src.Close() // the rest is tried before: to close the last event of a tracepoint takes long
		}
	}
	came := func(is bool, what string) error {
		if d.Elsewhen {
			return d.Missing()
		}
		if d.Opened == nil && !is {
			return access.Silent(what)
		}
		return d.Opened
	}

	r.add(Nothing, "the documented paths, logs of strace, and the system calls of a Go program that traces itself", "", nil, nil)
	r.add(OwnSwitches, "when a thread of this process lost its CPU and got it back, and whether it slept", "", perf.Try(perf.Want{Switch: true}), perf.TrySwitch())
	r.add(OwnThreads, "wakes and sleeps of this process's threads, each with the kernel functions that did it", how, own, d.Missing())
	r.add(System, "the same of any process, wakes by interrupts and kernel threads included (CAP_PERFMON)", how, system, d.Missing())
	r.add(Names, "the names of the functions in a call chain", detail, symErr, nil)
	r.add(Payloads, "who is woken, and the arguments of system calls", how, raw, came(d.Arrived && d.Waking, "the records of tracepoints"))
	r.add(Allocations, "the memory that a call allocates, and from which function", how, raw, watch.TryAlloc(syms))
	err := watch.Try(syms)
	r.add(Watchpoints, "every change of an eventfd's counter, and every waiter that joins or leaves its queue", "", refusal(err), err)
	if text != nil {
		where, err := text(syms)
		r.add(Text, "proof that a function missing in a call chain was left by a jump", where, err, nil)
	}
	err = ftrace.Probe()
	r.add(Functions, "every documented function as it is entered, those reached by a jump included", "", refusal(err), err)
	if queues != nil {
		err := queues()
		r.add(Queues, "the wait queues of all open files as they are, entry by entry, for efdtrace waiters", "", err, err)
	}
	r.facts(how)
	return r
}

// refusal returns err unless its source opens and is silent.
func refusal(err error) error {
	if ae, ok := errors.AsType[*ktrace.AccessError](err); ok && ae.Silent {
		return nil
	}
	return err
}

// add adds a tier: opens is why the kernel refuses it, nil if it does not, and
// delivers why nothing comes of it.
func (r *Report) add(name, gives, detail string, opens, delivers error) {
	t := Tier{Name: name, Gives: gives, Opens: opens == nil, Delivers: opens == nil && delivers == nil}
	t.OK = t.Delivers
	err := cmp.Or(opens, delivers)
	if err == nil {
		t.Detail = detail
	} else if ae, ok := errors.AsType[*ktrace.AccessError](err); ok {
		t.Missing, t.Change = ae.Missing, ae.Change
	} else {
		t.Missing = err.Error()
	}
	r.Tiers = append(r.Tiers, t)
}

// Tier returns the tier of that name.
func (r *Report) Tier(name string) Tier {
	for _, t := range r.Tiers {
		if t.Name == name {
			return t
		}
	}
	return Tier{Name: name, Missing: "not tried"}
}

// Highest names the last tier that is reached without a gap before it.
func (r *Report) Highest() string {
	last := ""
	for _, t := range r.Tiers {
		if !t.OK {
			break
		}
		last = t.Name
	}
	return last
}

// Next is the first tier that is missing and that a change would give.
func (r *Report) Next() (Tier, bool) {
	for _, t := range r.Tiers {
		if !t.OK && t.Change != "" {
			return t, true
		}
	}
	return Tier{}, false
}

// counted is a number as /proc has it, of things.
func counted(number, one string) string {
	if n, err := strconv.Atoi(number); err == nil {
		return count.Of(n, one)
	}
	return "? " + one + "s"
}

func (r *Report) facts(how string) {
	fact := func(name, value string) {
		if value != "" {
			r.Facts = append(r.Facts, Fact{name, value})
		}
	}
	fact("kernel.perf_event_paranoid", access.File("/proc/sys/kernel/perf_event_paranoid"))
	fact("kernel.kptr_restrict", access.File("/proc/sys/kernel/kptr_restrict"))
	if most := access.File("/proc/sys/kernel/perf_event_max_stack"); most != "" {
		text := fmt.Sprintf("of at most %s (kernel.perf_event_max_stack) in %s (kernel.perf_event_max_contexts_per_stack)",
			counted(most, "frame"), counted(access.File("/proc/sys/kernel/perf_event_max_contexts_per_stack"), "context"))
		const long = 64 // frames of a packet's way from one socket to another, and some more
		if n, err := strconv.Atoi(most); err == nil && n < long {
			text += ": longer ones, as those of wakes through the network are, come cut"
		}
		fact("call chains", text)
	}
	fact("kernel.ftrace_enabled", access.File("/proc/sys/kernel/ftrace_enabled"))
	fact("lockdown", access.File("/sys/kernel/security/lockdown"))
	fact("capabilities", capabilities())
	fact("tracefs", strings.TrimPrefix(how, "tracefs: "))
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		fact("type information", "/sys/kernel/btf/vmlinux")
	}
	if ns, err := os.Readlink("/proc/self/ns/pid"); err == nil && !perf.InitialPIDNamespace(ns) {
		fact("PID namespace", "not the initial one: tasks outside of it have no number here")
	}
	for line := range strings.Lines(access.File("/proc/self/status")) {
		if v, ok := strings.CutPrefix(line, "TracerPid:"); ok && strings.TrimSpace(v) != "0" {
			fact("traced by", "process "+strings.TrimSpace(v)+": a tracer such as strace changes which thread sleeps when")
		}
	}
	fact("idle CPUs", silentText())
}

// capabilities names those that matter here, of the process's effective ones.
func capabilities() string {
	p := rights.Of()
	var have []string
	for _, c := range []struct {
		bit  int
		name string
	}{{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_PERFMON, "CAP_PERFMON"}, {unix.CAP_SYSLOG, "CAP_SYSLOG"}, {unix.CAP_BPF, "CAP_BPF"}, {unix.CAP_IPC_LOCK, "CAP_IPC_LOCK"}} {
		if p.Caps>>c.bit&1 == 1 {
			have = append(have, c.name)
		}
	}
	if have == nil {
		return "none that matters here"
	}
	text := strings.Join(have, " ")
	if p.UserNamespace {
		text += " in a user namespace of its own, which count for nothing here"
	}
	return text
}
