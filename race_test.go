//go:build linux && race

package efd_test

const raceDetector = true
