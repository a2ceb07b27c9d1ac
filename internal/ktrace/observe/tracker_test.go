//go:build linux

package observe

import (
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
)

// A thread's own events end before it leaves the CPU for the last time, so its
// exit(2) is what there is to forget it by.
func TestEndedThreadsAreForgotten(t *testing.T) {
	p := NewPipeline(&Kernel{Arch: "amd64"}, Options{})
	const exit, read, threads = 60, 0, 1000
	tid, now := 1000, int64(0)
	for range threads {
		tid, now = tid+1, now+int64(exitGrace)/100
		p.t.Event(&ktrace.Event{Kind: ktrace.SysEnter, Time: now, PID: 1, TID: tid, Nr: exit})
	}
	p.t.Event(&ktrace.Event{Kind: ktrace.SysEnter, Time: 1, PID: 1, TID: 7, Nr: read}) // long ago, and not the last
	if n := len(p.t.threads); n > 110 || len(p.t.ending) > 110 || p.t.threads[7] == nil {
		t.Errorf("of %d threads that ended, a hundred a second, %d are kept, and %d of their calls", threads, n, len(p.t.ending))
	}
	// One that is in its last call still wakes others from there.
	if th := p.t.threads[tid]; th == nil || th.call == nil || th.call.Nr != exit {
		t.Error("the thread that entered exit just now is forgotten")
	}
}
