//go:build linux && race

package efd

import (
	"runtime"
	"unsafe"
)

const raceEnabled = true

// An eventfd orders what goroutines do, in the kernel, where the race detector
// does not look. So it is told: who sees readiness comes after who made it. A
// number does not say which eventfd it is, so all share two variables: writes
// that make readable, reads that make room.
var raceWritten, raceTaken byte

func raceRelease(v *byte) { runtime.RaceReleaseMerge(unsafe.Pointer(v)) }
func raceAcquire(v *byte) { runtime.RaceAcquire(unsafe.Pointer(v)) }

// raceSeen is for a wait that saw readiness of whatever kind.
func raceSeen() { raceAcquire(&raceWritten); raceAcquire(&raceTaken) }
