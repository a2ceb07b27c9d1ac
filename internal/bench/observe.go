//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// observer is one way to observe the ping-pong, begun before a run and ended after it.
type observer struct {
	name  string
	inner string   // the operation that the program runs
	tool  []string // the command that is attached to it: PID and DIR stand for themselves
	ready func(tool, program int) bool

	against, limit string // the row that it is compared with, and the wanted ratio

	ns   []float64
	lost int64
	skip string
}

const (
	wakeEvents = "sched:sched_waking"
	allEvents  = "sched:sched_waking,sched:sched_switch,raw_syscalls:sys_enter,raw_syscalls:sys_exit"
)

func observers(dir string) []*observer {
	perf := func(name, events string) *observer {
		return &observer{name: name, ready: counts, tool: []string{"perf", "record", "-q", "-a", "-g", "-e", events, "-o", dir + "/perf.data"}}
	}
	wakes, all := "perf record -a -g, wakes", "perf record -a -g, the same events"
	return []*observer{
		{name: "bare"},
		{name: "efd.Observe, WakesOnly", inner: "wakes", against: "bare", limit: "2.00"},
		perf(wakes, wakeEvents),
		{name: "efd.Observe", inner: "all", against: all, limit: "1.00"},
		{name: "efdtrace run", tool: []string{dir + "/efdtrace", "run", "-o", "/dev/null", "-p", "PID"}, ready: reads, against: all, limit: "1.00"},
		{name: "efdtrace run -watch", tool: []string{dir + "/efdtrace", "run", "-watch", "-o", "/dev/null", "-p", "PID"}, ready: reads},
		perf(all, allEvents),
		{name: "strace -f", tool: []string{"strace", "-f", "-o", dir + "/strace.log", "-p", "PID"}, ready: traced},
		{name: "perf trace", tool: []string{"perf", "trace", "-o", dir + "/trace.log", "-p", "PID"}, ready: counts},
	}
}

// observing prints the cost of being observed for a program.
func observing() error {
	dir, err := os.MkdirTemp("", "efd-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/efdtrace", "./cmd/efdtrace")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v\n%s", err, out)
	}
	p, err := startPinger()
	if err != nil {
		return err
	}
	defer p.stop()
	list := observers(dir)
	for round := range *observeRounds {
		for i := range list {
			// The program alone comes first in each round: the others are
			// compared with it.
			o := list[i]
			if i > 0 {
				o = list[1+(round+i)%(len(list)-1)]
			}
			if o.skip == "" {
				if err := o.round(p); err != nil {
					o.skip = err.Error()
				}
			}
		}
	}
	if list[0].skip != "" {
		return fmt.Errorf("%s", list[0].skip)
	}
	printObservers(list)
	return nil
}

// round measures one run under the observer.
func (o *observer) round(p *observed) error {
	if o.inner != "" {
		if _, err := p.ask("%s", o.inner); err != nil {
			return err
		}
	}
	end, err := o.attach(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if _, err := p.ask("go %d", *observeLength/10); err != nil {
		return err
	}
	ns, err := p.ask("go %d", *observeLength)
	end()
	if err != nil {
		return err
	}
	if o.inner != "" {
		lost, err := p.ask("stop")
		if err != nil {
			return err
		}
		o.lost += lost
	}
	o.ns = append(o.ns, float64(ns)/float64(*observeLength))
	return nil
}

// attach starts the tool and waits until it observes.
func (o *observer) attach(pid int) (end func(), err error) {
	if o.tool == nil {
		return func() {}, nil
	}
	args := slices.Clone(o.tool)
	for i, a := range args {
		if a == "PID" {
			args[i] = strconv.Itoa(pid)
		}
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, fmt.Errorf("%s is not installed", args[0])
	}
	var said bytes.Buffer
	cmd := exec.Command(path, args[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	// perf mounts tracefs if it finds none: not for others to see.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	for deadline := time.Now().Add(30 * time.Second); !o.ready(cmd.Process.Pid, pid); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			return nil, fmt.Errorf("%s", strings.TrimSpace(said.String()))
		default:
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			return nil, fmt.Errorf("not ready after 30 s")
		}
	}
	return func() { cmd.Process.Signal(os.Interrupt); <-ended }, nil
}

// traced: the program is another's tracee.
func traced(_, program int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", program))
	_, rest, ok := strings.Cut(string(b), "TracerPid:\t")
	return ok && !strings.HasPrefix(rest, "0\n")
}

// counts: the tool has all its events.
func counts(tool, _ int) bool { return settled(tool) }

// reads: a thread of the tool is at the highest priority, as the reader of
// efdtrace is, and the tool has all its events.
func reads(tool, _ int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", tool))
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		if f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])); len(f) > 16 && f[16] == "-20" {
			return settled(tool)
		}
	}
	return false
}

// settled: the process has perf events, and for a while no more come.
func settled(pid int) bool {
	n := perfEvents(pid)
	for range 10 {
		time.Sleep(30 * time.Millisecond)
		if now := perfEvents(pid); n == 0 || now != n {
			return false
		}
	}
	return true
}

func perfEvents(pid int) (n int) {
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range fds {
		if link, _ := os.Readlink(f); strings.Contains(link, "perf_event") {
			n++
		}
	}
	return n
}

// printObservers prints the table. A ratio is the median of those of the
// rounds: other load on the machine slows down both.
func printObservers(list []*observer) {
	by := map[string]*observer{}
	for _, o := range list {
		by[o.name] = o
	}
	ratio := func(o, to *observer) float64 {
		var all []float64
		for i := range min(len(o.ns), len(to.ns)) {
			all = append(all, o.ns[i]/to.ns[i])
		}
		slices.Sort(all)
		if len(all) == 0 {
			return 0
		}
		return all[len(all)/2]
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "ping-pong of two threads, eventfd and ppoll\tµs a round\tbest\tagainst bare\tlost\twanted")
	for _, o := range list {
		if o.skip != "" {
			fmt.Fprintf(out, "%s\t-\t-\t-\t-\tskipped: %s\n", o.name, o.skip)
			continue
		}
		wanted := ""
		if to := by[o.against]; to != nil && to.skip == "" {
			wanted = fmt.Sprintf("%.2f × %s, at most %s", ratio(o, to), to.name, o.limit)
		}
		lost := "-"
		if o.inner != "" {
			lost = strconv.FormatInt(o.lost, 10)
		}
		sorted := slices.Sorted(slices.Values(o.ns))
		fmt.Fprintf(out, "%s\t%.1f\t%.1f\t%.2f\t%s\t%s\n", o.name, sorted[len(sorted)/2]/1000, sorted[0]/1000, ratio(o, list[0]), lost, wanted)
	}
	out.Flush()
	fmt.Printf("kernel %s, %d interleaved runs of %d rounds each; both threads on CPU 0\n", release(), *observeRounds, *observeLength)
}
