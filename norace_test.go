//go:build !race

package efd_test

const raceDetector = false
