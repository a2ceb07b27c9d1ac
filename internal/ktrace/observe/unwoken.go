//go:build linux

package observe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/efd-go/efd/internal/count"
	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/order"
)

// sleptOn counts a sleep that ended without a record of a wake: a thread that
// sleeps in the kernel does not run again unless it was woken. The record is
// counted as lost, unless the kernel has said so itself.
func (p *Pipeline) sleptOn(u *Unwoken) {
	if p.o.Partial || !p.follows(u.PID) || !p.waited(u) {
		return
	}
	p.Unwoken++
	p.unwoken[u.CPU]++
	if p.o.OnUnwoken != nil {
		p.o.OnUnwoken(u)
	}
	if !u.Lost {
		p.lose(ktrace.Loss{Source: "sched:sched_waking", Count: 1, From: u.From, To: u.To})
	}
}

// waited reports whether a sleep is one of those whose wakes are reported.
func (p *Pipeline) waited(u *Unwoken) bool {
	stack := u.Sleep.stack()
	return polls(p.k.syscall(&u.Side, stack)) || slices.ContainsFunc(stack, func(f ktrace.Frame) bool {
		path, _ := catalog.DefaultModel().Of(catalog.Changed, match.BaseName(f.Name))
		return path == "eventfd_read" || path == "eventfd_write"
	})
}

// unwokenText says how many wakes left no record, and on which CPUs the threads
// ran again, "" for none.
func (p *Pipeline) unwokenText() string {
	if p.Unwoken == 0 {
		return ""
	}
	var on, idle []string
	for _, cpu := range order.Numbers(p.unwoken) {
		on = append(on, fmt.Sprintf("%d on CPU %d", p.unwoken[cpu], cpu))
		if !p.idle[cpu] {
			idle = append(idle, fmt.Sprintf("CPU %d", cpu))
		}
	}
	text := fmt.Sprintf("the %s that ended %s, and left no record (by where the thread ran again: %s)", count.Word(p.Unwoken, "wake", "wakes"), count.Of(p.Unwoken, "sleep"), strings.Join(on, ", "))
	if len(idle) > 0 {
		text += fmt.Sprintf(": the idle task of %s left no record of a wake, and a kernel may keep those of an idle CPU, or of an interrupt above single tasks, to itself", strings.Join(idle, " and "))
	}
	return text
}
