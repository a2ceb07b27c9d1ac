//go:build linux

package efdtest

import (
	"fmt"
	"os"
)

// Evidence is the ground of a test's assertions.
type Evidence string

const (
	Kernel Evidence = "kernel" // the kernel's record of each wake, by efd.Observe
	Proc   Evidence = "proc"   // /proc and efd.AddTracer, without privileges
)

// environment selects the evidence: kernel wants it, proc does without.
const environment = "EFDTEST"

// gather finds out the evidence that this test may have.
func (k *K) gather() {
	k.Helper()
	switch v := os.Getenv(environment); v {
	case "", "kernel":
		k.strict = v == "kernel"
		if err := observed.start(); err != nil {
			k.why = err.Error()
			return
		}
		k.evidence, k.lost = Kernel, observed.lost()
	case "proc":
		k.why = "unset EFDTEST, which is proc"
	default:
		k.why = fmt.Sprintf("%s=%s: want kernel or proc", environment, v)
		k.TB.Fatalf("efdtest: %s", k.why)
	}
}

// Evidence returns the best evidence that the test may have, and why it is no
// more: the error of [efd.Observe] with the smallest change that helps, "" with
// Kernel.
func (k *K) Evidence() (Evidence, string) { return k.evidence, k.why }

// NeedKernel skips the test without kernel evidence. With EFDTEST=kernel it
// fails.
func (k *K) NeedKernel() {
	k.Helper()
	switch {
	case k.evidence == Kernel:
	case k.strict:
		k.failed = true
		k.TB.Fatalf("needs kernel evidence, and EFDTEST=kernel makes its absence a failure: %s", k.why)
	default:
		k.TB.Skipf("needs kernel evidence: %s", k.why)
	}
}

// lostSince is how many records were lost since K began.
func (k *K) lostSince() int {
	if k.evidence != Kernel {
		return 0
	}
	return observed.lost() - k.lost
}
