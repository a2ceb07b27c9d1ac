//go:build linux

package efd_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/efd-go/efd/internal/testenv/ordinary"
	"golang.org/x/sys/unix"
)

const asOrdinary = "EFD_TEST_OBSERVE_ORDINARY"

// The privileges that Observe asks for are enough for it: an ordinary user who
// has nothing else and locks no memory yet, with the limit of locked memory
// that systems set, and with none.
func TestObservePrivileges(t *testing.T) {
	if os.Getenv(asOrdinary) != "" {
		observeWakes(t)
		return
	}
	startObserve(t).Stop()
	for _, c := range []struct {
		name    string
		memlock uint64
	}{{"default", ordinary.DefaultMemlock}, {"no RLIMIT_MEMLOCK", 0}} {
		t.Run(c.name, func(t *testing.T) {
			u := ordinary.User{UID: ordinary.Fresh(), Caps: []int{unix.CAP_PERFMON, unix.CAP_SYSLOG}, Tracefs: true, Memlock: c.memlock}
			cmd := u.Command(t, "-test.run=^TestObservePrivileges$", "-test.v")
			cmd.Env = append(cmd.Env, asOrdinary+"=1", "EFD_REQUIRE=perf,tracefs,kallsyms")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestObservePrivileges") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// observeWakes observes two threads, and wants their wakes.
func observeWakes(t *testing.T) {
	o := startObserve(t)
	const rounds = 20
	tids := pingPong(t, rounds, observedFD(t), observedFD(t))
	r, err := o.Stop()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	for _, w := range r.Wakes {
		if w.Wakee.TID == tids[0] && w.Waker.TID == tids[1] || w.Wakee.TID == tids[1] && w.Waker.TID == tids[0] {
			n++
		}
	}
	if n == 0 && r.Lost == 0 {
		t.Errorf("none of the wakes of %d rounds is in the report: %+v", rounds, r)
	}
	fmt.Printf("%d wakes, %d lost\n", n, r.Lost)
}

// Where nothing more may be locked, that is what Observe says.
func TestObserveLockedMemory(t *testing.T) {
	if os.Getenv(asOrdinary) != "" {
		var held []*efd.Observation
		defer func() {
			for _, o := range held {
				o.Stop()
			}
		}()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			o, err := efd.Observe(efd.WakesOnly())
			if err != nil {
				fmt.Println(err)
				return
			}
			held = append(held, o)
		}
		t.Fatalf("%d observations at once, and memory for more", len(held))
	}
	testenv.RealSpeed(t)
	startObserve(t).Stop()
	u := ordinary.User{UID: ordinary.Fresh() + 1, Caps: []int{unix.CAP_PERFMON, unix.CAP_SYSLOG}, Tracefs: true, Memlock: 0}
	cmd := u.Command(t, "-test.run=^TestObserveLockedMemory$", "-test.v")
	cmd.Env = append(cmd.Env, asOrdinary+"=1")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"CAP_IPC_LOCK", "ulimit -l", "perf_event_mlock_kb"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("no %s in\n%s%v", want, out, err)
		}
	}
	if strings.Contains(string(out), "security module") {
		t.Errorf("blames a security module:\n%s", out)
	}
}
