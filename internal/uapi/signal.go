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

// Signal prints sig as strace does: SIGINT, SIGRTMIN, SIGRT_1, and the bare
// number if it is none.
func Signal(sig int) string {
	if s := shortSignal(sig); s != "" {
		return "SIG" + s
	}
	return strconv.Itoa(sig)
}

// ParseSignal returns the number of a signal's name, with or without SIG.
func ParseSignal(name string) (sig int, ok bool) {
	name = strings.TrimPrefix(name, "SIG")
	for sig := 1; sig <= lastSignal; sig++ {
		if shortSignal(sig) == name {
			return sig, true
		}
	}
	return 0, false
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

// ParseSigSet calls add for every signal, of 1 to n, of a set that SigSet
// printed. It reports whether all names were known.
func ParseSigSet(s string, n int, add func(sig int)) bool {
	s, inverted := strings.CutPrefix(s, "~")
	inner, ok := strings.CutPrefix(s, "[")
	if !ok || !strings.HasSuffix(inner, "]") {
		return false
	}
	var listed [lastSignal + 1]bool
	for name := range strings.FieldsSeq(strings.TrimSuffix(inner, "]")) {
		sig, ok := ParseSignal(name)
		if !ok || sig > n {
			return false
		}
		listed[sig] = true
	}
	for sig := 1; sig <= n && sig <= lastSignal; sig++ {
		if listed[sig] != inverted {
			add(sig)
		}
	}
	return true
}
