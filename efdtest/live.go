//go:build linux

package efdtest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/efd-go/efd"
)

// live has the tests that run. While there is one, efd's calls are traced.
var live registry

type registry struct {
	mu      sync.RWMutex
	ks      []*K
	n       atomic.Int32
	untrace func()
}

func (r *registry) add(k *K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ks = append(r.ks, k)
	if r.n.Add(1) == 1 {
		r.untrace = efd.AddTracer(r.trace)
	}
}

func (r *registry) any() bool { return r.n.Load() > 0 }

func (r *registry) remove(k *K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := time.Duration(1<<63 - 1)
	left := r.ks[:0:0]
	for _, o := range r.ks {
		if o != k {
			left = append(left, o)
			first = min(first, o.begin)
		}
	}
	if len(left) == len(r.ks) {
		return
	}
	if r.ks = left; r.n.Add(-1) == 0 {
		r.untrace()
		numbers.clear()
	}
	observed.forget(first)
}

// trace passes a call to the tests that it concerns. It runs on the thread that
// made the call.
func (r *registry) trace(c *efd.Call) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	t := traced(c)
	for _, k := range r.ks {
		k.trace(t)
	}
	t.settle()
}
