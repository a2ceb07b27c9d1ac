//go:build linux

// Package access determines by trying whether the wakes of this machine are
// observable, and finds all that is missing for it.
package access

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/rights"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
)

// known caches the results of earlier tries, while the privileges and the
// settings that decide them are the same.
var known struct {
	sync.Mutex
	settings string
	symbols  error     // why symbols cannot be had, nil: not known
	wakes    *Delivery // nil: not tried, or failed for a reason that may pass
}

// settings returns the state that decides the access of this process.
func settings() string {
	s := fmt.Sprint(os.Geteuid(), rights.Of())
	for _, name := range [...]string{"perf_event_paranoid", "kptr_restrict", "perf_event_max_stack", "perf_event_max_contexts_per_stack"} {
		s += " " + File("/proc/sys/kernel/"+name)
	}
	return s
}

// current locks known and drops the results of other settings.
func current() (unlock func()) {
	known.Lock()
	if s := settings(); s != known.settings {
		known.settings, known.symbols, known.wakes = s, nil, nil
	}
	return known.Unlock
}

// Permitted is why the kernel refuses this process the events of an
// observation, nil if it does not: a quick look, to be taken first.
func Permitted() error {
	_, id, idErr := EventID()
	return Try(id, idErr, perf.Want{Chain: true, System: true, Raw: true})
}

// Wakes returns the reason why no wake can be observed here, nil if the wakes
// of two threads were observed. The events that it opened stay open until
// release: closing the last event of a tracepoint takes long, and the next
// observation opens it again.
func Wakes(syms *ksym.Table) (release func(), err error) {
	defer current()()
	release = func() {}
	if known.wakes == nil {
		d, src := Deliver(syms, true)
		if src != nil {
			release = func() { src.Close() }
		}
		if d.Opened != nil {
			return release, d.Opened
		}
		known.wakes = &d
	}
	if !known.wakes.Waking || known.wakes.Elsewhen {
		return release, known.wakes.Missing()
	}
	return release, nil
}

// Chains is why the call chains of wakes are not whole here, nil if they are as
// far as Wakes found out.
func Chains() error {
	defer current()()
	if known.wakes == nil {
		return nil
	}
	return known.wakes.Missing()
}

// symbolsRefused is why symbols cannot be had, nil if they can.
func symbolsRefused() error {
	defer current()()
	if known.symbols != nil {
		return known.symbols
	}
	_, err := ksym.Load()
	if ae, ok := errors.AsType[*ktrace.AccessError](err); ok && ae.Root {
		known.symbols = err
	}
	return err
}
