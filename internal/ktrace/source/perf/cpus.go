//go:build linux

package perf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
)

// cpuSource begins the Source of the loss of all that ran on a CPU.
const cpuSource = "perf:cpu "

// OfCPU returns the CPU of which a loss has everything, if it is of one that
// went offline or came online.
func OfCPU(source string) (cpu int, ok bool) {
	rest, ok := strings.CutPrefix(source, cpuSource)
	cpu, err := strconv.Atoi(rest)
	return cpu, ok && err == nil
}

// cpuWatch notices CPUs that come or go: the events of one that went do not
// come back with it, and one that came has none.
type cpuWatch struct {
	open    map[int]bool // their events are alive
	changed map[int]bool // they came or went
	looked  int64
	list    func() ([]int, error)
}

// cpuTick is how often CPUs are looked at.
const cpuTick = int64(100 * time.Millisecond)

// look compares the CPUs that are online with those that are observed, and
// reports possible losses since the last look.
func (w *cpuWatch) look(now int64, last bool) []ktrace.Loss {
	if !last && now-w.looked < cpuTick {
		return nil
	}
	from := w.looked
	w.looked = now
	online, err := w.list()
	if err != nil {
		return nil // an unreadable list counts as unchanged
	}
	var out []ktrace.Loss
	lose := func(cpu int, n uint64) {
		out = append(out, ktrace.Loss{Source: fmt.Sprint(cpuSource, cpu), Count: n, From: from, To: now})
	}
	for cpu := range w.open {
		if !slices.Contains(online, cpu) {
			delete(w.open, cpu)
			w.changed[cpu] = true
			lose(cpu, 1)
		}
	}
	for _, cpu := range online {
		switch {
		case w.open[cpu]:
		case w.changed[cpu]:
			lose(cpu, 0) // still
		default:
			w.changed[cpu] = true
			lose(cpu, 1)
		}
	}
	return out
}
