//go:build linux

package efdtest

import (
	"errors"
	"sync"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/ktrace/observe"
)

// observed is the observation of the whole process. The first K begins it, and
// nothing ends it.
var observed observation

type observation struct {
	once sync.Once
	o    *efd.Observation
	tape tape
	err  error // the refusal, which is remembered

	mu      sync.Mutex
	wakes   []efd.Wake
	synced  time.Duration // all records up to it are delivered
	dropped time.Duration // wakes up to it are no longer kept
}

// start begins the observation.
func (ob *observation) start() error {
	ob.once.Do(func() {
		err := observe.Tapped(&ob.tape, func() (err error) {
			ob.o, err = efd.Observe(efd.OnWake(ob.wake))
			return err
		})
		ob.err = err
	})
	return ob.err
}

// maxWakes bounds the wakes that are kept.
const maxWakes = 1 << 15

func (ob *observation) wake(w efd.Wake) {
	if !live.any() {
		return
	}
	ob.mu.Lock()
	defer ob.mu.Unlock()
	if len(ob.wakes) >= maxWakes {
		n := maxWakes / 4
		for _, old := range ob.wakes[:n] {
			ob.dropped = max(ob.dropped, old.Time)
		}
		ob.wakes = append(ob.wakes[:0:0], ob.wakes[n:]...)
	}
	ob.wakes = append(ob.wakes, w)
}

// between returns the wakes of a stretch of time.
func (ob *observation) between(begin, end time.Duration) (out []efd.Wake) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	for i := range ob.wakes {
		if t := ob.wakes[i].Time; t >= begin && t <= end {
			out = append(out, ob.wakes[i])
		}
	}
	return out
}

// forget drops the wakes from before a time.
func (ob *observation) forget(before time.Duration) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	n := 0
	for n < len(ob.wakes) && ob.wakes[n].Time < before {
		n++
	}
	if n == len(ob.wakes) {
		ob.wakes = nil
	} else if n > maxWakes/4 {
		ob.wakes = append(ob.wakes[:0:0], ob.wakes[n:]...)
	}
}

// lost is how many records were lost so far.
func (ob *observation) lost() int { return ob.o.Lost() }

// overran reports whether wakes since a time are no longer kept.
func (ob *observation) overran(since time.Duration) bool {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	return ob.dropped >= since
}

// sync waits for all records up to a time.
func (ob *observation) sync(upTo time.Duration) error {
	ob.mu.Lock()
	done := ob.synced >= upTo
	ob.mu.Unlock()
	if done {
		return nil
	}
	now := mono()
	if err := ob.o.Sync(); err != nil {
		return err
	}
	ob.mu.Lock()
	ob.synced = max(ob.synced, now)
	ob.mu.Unlock()
	return nil
}

// sync waits for the records up to a time. If they do not come, the outcome is
// inconclusive.
func (k *K) sync(upTo time.Duration) bool {
	if k.evidence != Kernel {
		return true
	}
	err := observed.sync(upTo)
	if err == nil && observed.overran(k.begin) {
		err = errors.New("the test made more wakes than are kept")
	}
	if err != nil {
		k.doubt(err.Error())
	}
	return err == nil
}

// doubt makes the outcome inconclusive.
func (k *K) doubt(why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, d := range k.doubts {
		if d == why {
			return
		}
	}
	k.doubts = append(k.doubts, why)
}
