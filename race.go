//go:build linux && race

package efd

import (
	"runtime"
	"unsafe"
)

const raceEnabled = true

// An eventfd orders goroutines in the kernel, which the race detector does not
// see. Annotate it: observing readiness happens after the write that caused it.
// An fd does not identify its eventfd, so all share two variables: writes that
// make readable, reads that make room.
var raceWritten, raceTaken byte

func raceRelease(v *byte) { runtime.RaceReleaseMerge(unsafe.Pointer(v)) }
func raceAcquire(v *byte) { runtime.RaceAcquire(unsafe.Pointer(v)) }

// raceSeen annotates a wait that saw readiness of either kind.
func raceSeen() { raceAcquire(&raceWritten); raceAcquire(&raceTaken) }
