//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/ktext"
	"github.com/efd-go/efd/internal/ktrace/match"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/ktrace/record"
	"golang.org/x/sys/unix"
)

var (
	stressTime  = flag.Duration("stress", 0, "how long TestStress has threads woken; 0 is 1 s, and 3 s on a busy machine")
	stressStops = flag.Bool("stress-stops", false, "have TestStress stop the program with SIGSTOP now and then too")
)

// judging holds what was seen of stressProgram.
type judging struct {
	t     *testing.T
	wakes []*observe.Judged
	found map[string]int
}

func (g *judging) wake(j *observe.Judged) {
	g.wakes = append(g.wakes, j)
	g.check(j.WakeChain, &j.Waking, j)
	if j.SleepChain != nil {
		g.check(j.SleepChain, j.Sleep.Chain, j)
	}
}

func (g *judging) check(c *match.Chain, ev *ktrace.Event, j *observe.Judged) {
	if c == nil {
		return
	}
	for _, s := range c.Findings() {
		var names []string
		for _, f := range ev.Stack {
			names = append(names, f.Name)
		}
		text := fmt.Sprintf("%s %s -> %s: %s\n  paths %v, in %q through %v\n  %s", s.Verdict, s.Caller, s.Callee, s.Evidence, j.WakePaths, j.WakeeSyscall, j.Callbacks, strings.Join(names, " < "))
		if g.found[text]++; g.found[text] == 1 && len(g.found) < 20 {
			g.t.Error(text)
		}
	}
}

// In a program of 1,000 threads that wait in every way there is, each wake is
// attributed right or said to be uncertain, and nothing is held to be undocumented.
func TestStress(t *testing.T) {
	needPerf(t)
	for _, busy := range []bool{false, true} {
		if busy && testing.Short() {
			continue
		}
		t.Run(map[bool]string{false: "quiet", true: "busy"}[busy], func(t *testing.T) {
			length := *stressTime
			if length == 0 {
				length = time.Second
			}
			if busy {
				makeNoise(t)
				length *= 3
			}
			g := &judging{t: t, found: map[string]int{}}
			did, p := g.observe(length)
			g.compare(did, p)
		})
	}
}

// observe runs the program under observation.
func (g *judging) observe(length time.Duration) (*stressed, *observe.Pipeline) {
	t := g.t
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("EFDTRACE_TEST_PROGRAM=stress %v 900", length), "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	k := talkTo(t, cmd)
	t.Cleanup(func() { cmd.Process.Kill() })
	k.hear("ready")
	kernel, table, err := observe.ThisKernel()
	if err != nil {
		t.Fatal(err)
	}
	if text, err := ktext.Open(table); err == nil {
		kernel.Text = &record.TextNotes{From: text}
	}
	s, err := observe.StartOn(kernel, table, observe.Options{PIDs: []int{cmd.Process.Pid}, Calls: true, OnWake: g.wake})
	if err != nil {
		t.Fatal(err)
	}
	k.say("go")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err = <-ended:
		case <-time.After(200 * time.Millisecond):
			if *stressStops {
				cmd.Process.Signal(unix.SIGSTOP)
				cmd.Process.Signal(unix.SIGCONT)
			}
			continue
		}
		break
	}
	p, serr := s.Stop()
	if err != nil || serr != nil {
		t.Fatalf("%v, %v: %.2000s", err, serr, stderr.String())
	}
	var did stressed
	told(t, stderr.String(), "stressed", &did)
	return &did, p
}

// compare holds what was seen against what was done.
func (g *judging) compare(did *stressed, p *observe.Pipeline) {
	key := func(waker int, call string, fd, wakee int, in, source string) string {
		return fmt.Sprintf("%d in %s(%d) woke %d in %s by %s", waker, call, fd, wakee, in, source)
	}
	open := map[string][]int{} // what was done and not seen yet
	for i, d := range did.Deeds {
		for _, w := range d.Wakees {
			k := key(d.Waker, d.Call, d.FD, w, d.In, d.Source)
			open[k] = append(open[k], i)
		}
	}
	seen := make([]bool, len(did.Deeds))
	right, unsure, other, handed := 0, 0, 0, 0
	for _, j := range g.wakes {
		source := ""
		if len(j.WakePaths) > 0 {
			source = j.WakePaths[0]
		}
		switch {
		case j.Time < did.From:
			continue
		case slices.Contains(did.Sleepers, j.Wakee.TID):
			if source != "" && source != "timeout" && source != "signal" && j.Context != match.Unknown && !j.Lost {
				g.t.Errorf("%d slept for a time, and is said to be woken by %s (%v)", j.Wakee.TID, j.Describe(), j.WakePaths)
			}
			continue
		case !slices.Contains(did.Waiters, j.Wakee.TID):
			continue
		case j.Lost, j.Context == match.Unknown:
			unsure++
			continue
		case j.WakeAside != "" || source == "":
			other++
			continue
		}
		waker := j.Waker.TID
		if j.Interrupted {
			waker = 0
		}
		if pair := func(p [2]int) bool { return slices.Contains(p[:], waker) && slices.Contains(p[:], j.Wakee.TID) }; source == "epoll_wait" && slices.ContainsFunc(did.Pairs, pair) {
			handed++
			continue
		}
		if source == "signal" && (j.Waker.PID == os.Getpid() || j.WakerSyscall == "") {
			continue // stopped or let go on, or its parent has ended
		}
		k := key(waker, j.WakerSyscall, j.FD, j.Wakee.TID, j.WakeeSyscall, source)
		at := slices.IndexFunc(open[k], func(i int) bool { return !seen[i] })
		if at < 0 {
			g.t.Errorf("%s was not done, or not as often: through %v, paths %v, %s", k, j.Callbacks, j.WakePaths, frameNames(j.Waking.Stack))
			continue
		}
		seen[open[k][at]] = true
		open[k] = slices.Delete(open[k], at, at+1)
		right++
	}
	missing := 0
	for i, s := range seen {
		// A kernel may keep what interrupts do in its idle task to itself, and
		// whom SIGSTOP has just woken is awake.
		if !s && p.Lost == 0 && unsure == 0 && !did.Deeds[i].IRQ && !*stressStops {
			if missing++; missing < 5 {
				g.t.Errorf("not seen: %+v", did.Deeds[i])
			}
		}
	}
	if right == 0 {
		g.t.Error("nothing was seen: this shows nothing")
	}
	g.t.Logf("%d wakes done: %d right, %d unsure; %d handed on, %d for another reason; %d told of in all, %d records lost %v, %d findings",
		len(did.Deeds), right, unsure, handed, other, p.Total, p.Lost, p.LostBy, len(g.found))
}

func frameNames(stack []ktrace.Frame) string {
	var names []string
	for _, f := range stack {
		names = append(names, f.Name)
	}
	return strings.Join(names, " < ")
}
