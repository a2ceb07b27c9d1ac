//go:build linux

package perf

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source"
)

// rest builds what follows the head of a sample.
func rest(chain []uint64, raw []byte) []byte {
	b := binary.NativeEndian.AppendUint64(nil, uint64(len(chain)))
	for _, ip := range chain {
		b = binary.NativeEndian.AppendUint64(b, ip)
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(len(raw)))
	return append(b, raw...)
}

func TestChainMarkers(t *testing.T) {
	const kernel, user = contextKernel, contextUser
	for _, c := range []struct {
		in, want []uint64
		cut      bool
	}{
		{[]uint64{kernel, 1, 2, user, 3}, []uint64{1, 2}, false},
		{[]uint64{user, 3, kernel, 1}, []uint64{1}, false},
		{[]uint64{1, 2}, nil, true}, // before any marker nothing is known to be the kernel's
		{[]uint64{kernel, 1, 2, 3, 4}, []uint64{1, 2, 3, 4}, true},
		{nil, nil, true}, // an event is in some function: where there is none, the kernel gave none
	} {
		var s Sample
		r := reader{b: rest(c.in, []byte("raw"))}
		s.rest(&r, sampleCallchain|sampleRaw, 4)
		if r.bad || !slices.Equal(s.Chain, c.want) || s.Cut != c.cut || string(s.Raw) != "raw" {
			t.Errorf("%x: %x, cut %v, raw %q, bad %v", c.in, s.Chain, s.Cut, s.Raw, r.bad)
		}
	}
	var s Sample
	r := reader{b: binary.NativeEndian.AppendUint64(nil, math.MaxUint64)}
	if s.rest(&r, sampleCallchain, 4); !r.bad {
		t.Error("a chain longer than its record is taken")
	}
}

func TestTrim(t *testing.T) {
	f := func(names ...string) (out []ktrace.Frame) {
		for _, n := range names {
			out = append(out, ktrace.Frame{Name: n})
		}
		return out
	}
	got := names(trim(f("", "perf_trace_sched_switch", "__traceiter_sched_switch", "__schedule", "schedule")))
	if got != "__schedule < schedule" {
		t.Errorf("%s", got)
	}
	got = names(trim(f("__traceiter_sched_waking", "perf_trace_sched_wakeup_template", "__traceiter_sched_waking", "try_to_wake_up", "pollwake")))
	if got != "try_to_wake_up < pollwake" {
		t.Errorf("%s", got)
	}
	if got := names(trim(f("try_to_wake_up", "perf_trace_sched_wakeup_template", "try_to_wake_up", "pollwake"))); got != "try_to_wake_up < pollwake" {
		t.Errorf("%s", got)
	}
	// A timer wakes a sleeper while another thread's event is written: the
	// machinery is what it interrupts.
	timer := []string{"try_to_wake_up", "hrtimer_wakeup", "__hrtimer_run_queues", "hrtimer_interrupt", "sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt",
		"perf_swevent_event", "perf_tp_event", "perf_trace_sys_exit", "syscall_exit_work", "do_syscall_64"}
	if got := names(trim(f(timer...))); got != strings.Join(timer, " < ") {
		t.Errorf("the chain of an interrupt is cut to %s", got)
	}
	// So is a function of perf's that sleeps itself.
	if got := names(trim(f("__schedule", "schedule", "synchronize_rcu", "perf_trace_destroy", "__free_event"))); got != "__schedule < schedule < synchronize_rcu < perf_trace_destroy < __free_event" {
		t.Errorf("%s", got)
	}
	// What is no leaf is never dropped.
	if got := names(trim(f("a", "b", "c", "d", "e", "f", "g", "h", "perf_trace_x", "i"))); got != "a < b < c < d < e < f < g < h < perf_trace_x < i" {
		t.Errorf("%s", got)
	}
}

// Whatever lies in a ring, decoding it ends and passes on no wrong event.
func FuzzRecord(f *testing.F) {
	head := make([]byte, 48)
	binary.NativeEndian.PutUint64(head, 7)
	f.Add(uint32(recordSample), append(head, rest([]uint64{contextKernel, 1}, []byte{1, 2, 3})...))
	f.Add(uint32(recordLost), make([]byte, 56))
	f.Add(uint32(recordSwitchCPU), make([]byte, 48))
	f.Add(uint32(recordComm), make([]byte, 64))
	f.Fuzz(func(t *testing.T, kind uint32, body []byte) {
		rs := NewRings(1<<12, NewStacks(nil))
		rs.byID[7] = &opened{bits: sampleBase | sampleCallchain | sampleRaw, spec: &Spec{Name: "x", Decode: func(*Sample, *ktrace.Event) bool { return true }}}
		q := &queue{}
		rs.queues[place{}] = q
		rec := binary.NativeEndian.AppendUint32(nil, kind)
		rec = append(rec, 0, 0, byte(len(body)+8), byte((len(body)+8)>>8))
		rs.record(q, append(rec, body...))
		for _, e := range rs.merge(source.End, nil, nil) {
			if e.Kind >= kindFork || e.Source == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}
