//go:build linux

package strace

import (
	_ "embed"
	"strings"
	"sync"
)

// isCall reports whether a system call of Linux has this name, on any of its
// machines.
func isCall(name []byte) bool {
	return callNames()[string(name)] || strings.HasPrefix(string(name), "syscall_")
}

var callNames = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, n := range strings.Fields(calls) {
		names[n] = true
	}
	return names
})

// calls are the names, of all machines together.
//
//go:embed callnames.txt
var calls string
