//go:build linux

// Package alloc observes the memory that threads allocate for waiting: an
// eventfd, epoll_ctl's item of a file descriptor, a page of poll's table. The
// call chain of such an allocation shows the way to the registration on a wait
// queue, which no other tracepoint does.
package alloc

import (
	"fmt"
	"slices"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/ksym"
	"github.com/efd-go/efd/internal/ktrace/source"
	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"golang.org/x/sys/unix"
)

// The tracepoints, and so the Source of events and losses. Before 6.1 a kernel
// that knows its memory nodes may have kmem:kmalloc_node and
// kmem:kmem_cache_alloc_node for the same calls; these functions name no node.
const (
	Kmalloc = "kmem:kmalloc"
	Cache   = "kmem:kmem_cache_alloc"
	Page    = "kmem:mm_page_alloc"
)

// Tracepoints are all of them.
func Tracepoints() []string { return []string{Kmalloc, Cache, Page} }

// Is reports whether a source is one of them.
func Is(source string) bool { return slices.Contains(Tracepoints(), source) }

// Source observes the allocations of some threads. It implements source.Source.
type Source struct{ rings *perf.Rings }

var _ source.Source = (*Source)(nil)

// ring is the size of a CPU's ring, in bytes.
const ring = 64 << 10

// Open starts to observe threads. Its error is an *ktrace.AccessError if a
// privilege or a part of the kernel is missing.
func Open(syms *ksym.Table, tids []int) (*Source, error) {
	if syms == nil || syms.Hidden() {
		return nil, &ktrace.AccessError{Tier: "allocations", Missing: "the kernel's symbols cannot be had", Change: "give the process CAP_SYSLOG, or run as root"}
	}
	specs, err := specs(syms)
	if err != nil {
		return nil, err
	}
	cpus, err := perf.CPUs()
	if err != nil {
		return nil, fmt.Errorf("list of CPUs: %w", err)
	}
	s := &Source{perf.NewRings(ring, perf.NewStacks(syms))}
	if err := s.open(specs, cpus, tids); err != nil {
		s.rings.Close()
		return nil, err
	}
	return s, nil
}

func (s *Source) open(specs []*perf.Spec, cpus, tids []int) error {
	for _, tid := range tids {
		for _, cpu := range cpus {
			for _, spec := range specs {
				if _, err := s.rings.Add(spec, tid, cpu, false); err == unix.ENODEV || err == unix.ESRCH {
					break // the CPU went offline, or the thread has ended
				} else if err != nil {
					return perf.Refused(spec.Name, err)
				}
			}
		}
	}
	return s.rings.Enable()
}

// specs are the events that this kernel has.
func specs(syms *ksym.Table) ([]*perf.Spec, error) {
	fs, err := tracefs.Open()
	if err != nil {
		return nil, err
	}
	defer fs.Close()
	var out []*perf.Spec
	for _, name := range Tracepoints() {
		f, err := fs.Event(name)
		if err != nil {
			return nil, err
		}
		spec := perf.Tracepoint(name, f)
		spec.Raw, spec.Chain = false, true
		if name != Page { // whose record does not say from where
			if _, err := f.Need("call_site"); err != nil {
				return nil, err
			}
			if spec.Filter = syms.CallSites(allocating()...); spec.Filter == "" {
				continue
			}
		}
		spec.Decode = func(_ *perf.Sample, e *ktrace.Event) bool { e.Kind = ktrace.Alloc; return true }
		out = append(out, spec)
	}
	return out, nil
}

// allocating are the functions whose allocations are wanted, with those that
// they may be compiled into.
func allocating() []string {
	m := catalog.DefaultModel()
	return slices.Concat(m.Functions(catalog.MakesEventfd, ""), m.Functions(catalog.Registers, ""))
}

// wanted drops the pages that were allocated for anything else.
func wanted(e *ktrace.Event) bool {
	return e.Kind == ktrace.Alloc && (e.Source != Page || slices.ContainsFunc(e.Stack, func(f ktrace.Frame) bool {
		return catalog.DefaultModel().Is(catalog.PollPages, f.Name)
	}))
}

// Read implements source.Source.
func (s *Source) Read(until int64, buf []ktrace.Event) ([]ktrace.Event, error) {
	return s.rings.Read(until, buf, wanted)
}

// Losses implements source.Source.
func (s *Source) Losses() []ktrace.Loss { return s.rings.Losses() }

// Stop implements source.Source.
func (s *Source) Stop() error { return s.rings.Stop() }

// Close implements source.Source.
func (s *Source) Close() error {
	err := s.rings.Stop()
	if e := s.rings.Close(); err == nil {
		err = e
	}
	return err
}
