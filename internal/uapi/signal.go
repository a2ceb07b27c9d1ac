//go:build linux

package uapi

import (
	"strconv"
	"strings"
)

// rtMin is the kernel's first real-time signal. libc begins at 34: it keeps two.
const rtMin = 32

// shortSignal returns a signal's name as strace prints it in a set: INT,
// RTMIN, RT_1; "" if sig is no signal.
func shortSignal(sig int) string {
	switch {
	case sig <= 0 || sig > lastSignal:
		return ""
	case sig == rtMin:
		return "RTMIN"
	case sig > rtMin:
		return "RT_" + strconv.Itoa(sig-rtMin)
	}
	names := signalNames
	for range sig - 1 {
		_, names, _ = strings.Cut(names, " ")
	}
	name, _, _ := strings.Cut(names, " ")
	return name
}

// SigSet prints the set of the signals 1 to n that has reports, as strace does:
// "[INT TERM]", and as the complement, "~[KILL]", from two thirds of them on.
func SigSet(n int, has func(sig int) bool) string {
	count := 0
	for sig := 1; sig <= n; sig++ {
		if has(sig) {
			count++
		}
	}
	inverted := count >= n*2/3
	b := make([]byte, 0, 64)
	if inverted {
		b = append(b, '~')
	}
	b = append(b, '[')
	first := true
	for sig := 1; sig <= n; sig++ {
		if has(sig) == inverted {
			continue
		}
		if !first {
			b = append(b, ' ')
		}
		first = false
		b = append(b, shortSignal(sig)...)
	}
	return string(append(b, ']'))
}
