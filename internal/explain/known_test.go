//go:build linux

package explain

import (
	"testing"

	"github.com/efd-go/efd/internal/ktrace/strace"
)

// Names that share a place do not take each other's kind.
func TestKnownCalls(t *testing.T) {
	names := []string{"", "read", "recv", "readv", "write", "wait4", "ioctl", "futex", "poll", "pipe", "ppoll", "close", "clone", "send", "stat", "epoll_wait", "accept4", "_newselect"}
	var calls knownCalls
	places := map[*known]bool{}
	for range 2 {
		for _, name := range names {
			k := calls.of(name)
			places[k] = true
			c := strace.Call{Name: name}
			if k.name != name || k.class != classOf(&c) || k.concerns != Concerns(name) ||
				k.proves != proofs[name] || k.native == elsewhere(name) || (k.handler == nil) != (handlerOf(name) == nil) {
				t.Errorf("%q is known as %+v", name, k)
			}
		}
	}
	if len(places) == len(names) {
		t.Error("no two of the names share a place")
	}
}
