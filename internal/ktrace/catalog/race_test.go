//go:build linux && race

package catalog_test

const raceEnabled = true
