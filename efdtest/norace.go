//go:build linux && !race

package efdtest

// again is the flag of a build for the race detector.
const again = ""
