//go:build linux

package efdtest

import "github.com/efd-go/efd"

// finding is the outcome of an assertion that does not hold, or that is
// inconclusive.
type finding struct {
	head    string // one sentence: got and wanted
	doubt   string // the outcome is inconclusive, for this reason
	fatal   bool
	at      string // the assertion's place, if it is not the caller's
	act     *Act
	threads []*Thread
	objects []*Object
	stack   []string // of the thread that does something else
	marks   map[wakeKey]string
	detail  string // in place of the table
}

// wakeKey identifies a wake.
type wakeKey struct {
	at  int64
	tid int
}

func keyOf(w *efd.Wake) wakeKey { return wakeKey{int64(w.Time), w.Wakee.TID} }

// mark says in the table in which way a wake is not as wanted.
func (f *finding) mark(w *efd.Wake, text string) {
	if f.marks == nil {
		f.marks = map[wakeKey]string{}
	}
	f.marks[keyOf(w)] = text
}

// deferred is an assertion within Check.
type deferred struct {
	at     string
	upTo   func() bool
	decide func() *finding
}

// count adds an assertion.
func (k *K) count(unchecked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asserted++
	if unchecked {
		k.unchecked++
	}
}

// decide decides an assertion on an act: by the kernel's record if there is one.
// causal says that nothing else can.
func (k *K) decide(a *Act, causal bool, byKernel, byProc func() *finding) {
	k.Helper()
	k.count(causal && k.evidence != Kernel)
	d := deferred{decide: byKernel, upTo: func() bool { return !causal || k.sync(a.until()) }}
	if k.evidence != Kernel {
		d.decide, d.upTo = byProc, func() bool { return true }
	}
	if k.deferred != nil {
		d.at = testPlace().at
		*k.deferred = append(*k.deferred, d)
		return
	}
	if !d.upTo() {
		return
	}
	if f := d.decide(); f != nil {
		k.report(f)
	}
}

// Check calls fn and decides its assertions on acts together when fn returns, in
// one wait for records.
func (k *K) Check(fn func()) {
	k.Helper()
	if fn == nil {
		k.fatal("Check: fn is nil")
		return
	}
	if k.deferred != nil {
		fn()
		return
	}
	var all []deferred
	k.deferred = &all
	returned := false
	defer func() {
		k.deferred = nil
		if !returned {
			return // fn ended the test
		}
		k.Helper()
		for _, d := range all {
			if !d.upTo() {
				return
			}
			if f := d.decide(); f != nil {
				f.at = d.at
				k.report(f)
			}
		}
	}()
	fn()
	returned = true
}
