//go:build linux

// Command bench compares the cost of package efd's calls with the same calls in
// C, through golang.org/x/sys/unix and through os.File. Every figure is the
// median of runs that alternate between the contenders.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/efd-go/efd"
	"golang.org/x/sys/unix"
)

// row is one line of the table. limit is the bound of the ratio to C, or to
// os.File if C has no equivalent.
type row struct {
	name  string
	c     string // the C program's word for it
	size  int
	limit float64
	efd   work
	peers [4]work // x/sys/unix, os.File, gVisor, syscall.Syscall6 alone
}

var peers = [4]string{"x/sys/unix", "os.File", "gVisor", "Syscall6"}

const second = 1000 * time.Second

const (
	heapLimit    = 96 // bytes for an EventFD
	tracingLimit = 2  // ns for a check
)

var rows = []row{
	{"EventFD Write + Read", "pair", 1, 1.10, pairEFD, [4]work{pairUnix, pairFile, pairGvisor}},
	{"Poll, 1 ready, timeout 0", "poll", 1, 1.25, pollEFD(0), [4]work{pollUnix(0), nil, nil, pollFloor}},
	{"Select, 1 ready, timeout 0", "select", 1, 1.25, selectEFD(0), [4]work{selectUnix(0), nil, nil, selectFloor}},
	{"Epoll.Wait, 1 ready, timeout 0", "epoll", 1, 1.25, epollEFD(0), [4]work{epollUnix(0), nil, nil, epollFloor}},
	{"Poll, 1 ready, timeout 1000 s", "poll-timed", 1, 1.25, pollEFD(second), [4]work{pollUnix(second)}},
	{"Select, 1 ready, timeout 1000 s", "select-timed", 1, 1.25, selectEFD(second), [4]work{selectUnix(second)}},
	{"Epoll.Wait, 1 ready, timeout 1000 s", "epoll-timed", 1, 1.25, epollEFD(second), [4]work{epollUnix(second)}},
	{"ping-pong of threads, ppoll", "pingpong-ppoll", 1, 1.25, sides(0, waitPoll), [4]work{sides(0, waitUnixPoll)}},
	{"ping-pong of threads, pselect6", "pingpong-pselect6", 1, 1.25, sides(0, waitSelect), [4]work{sides(0, waitUnixSelect)}},
	{"ping-pong of threads, epoll_wait", "pingpong-epoll_wait", 1, 1.25, sides(0, waitEpoll), [4]work{sides(0, waitUnixEpoll)}},
	{"ping-pong of threads, read", "pingpong-read", 1, 1.25, sides(efd.Blocking, waitRead), [4]work{sides(efd.Blocking, waitUnixRead)}},
	{"ping-pong of goroutines, ReadContext", "", 1, 1.05, goroutines(contextEFD), [4]work{1: goroutines(contextFile)}},
	{"PollSet.Wait, 1 member", "poll", 1, 1.25, pollSet(0), [4]work{pollSlice(0), nil, nil, pollFloor}},
	{"PollSet.Wait, 64 members", "poll", 64, 1.25, pollSet(0), [4]work{pollSlice(0)}},
	{"PollSet.Wait, 1,024 members", "poll", 1024, 1.25, pollSet(0), [4]work{pollSlice(0)}},
	{"PollSet.Wait, 10,000 members", "poll", 10000, 1.25, pollSet(0), [4]work{pollSlice(0)}},
	{"PollSet.Wait, 64 members, timeout 1000 s", "poll-timed", 64, 1.25, pollSet(second), [4]work{pollSlice(second)}},
}

var (
	rounds = flag.Int("rounds", 101, "runs of each contender, of which the median counts")
	length = flag.Duration("length", 5*time.Millisecond, "time that one run takes, about")
	best   = flag.Bool("best", false, "show the best run and not the median: for a machine that is busy with other things")
	only   = flag.String("run", "", "only rows whose name has this in it")

	observe       = flag.Bool("observe", false, "instead of all that: the cost of being observed, by this and by other tools")
	observeRounds = flag.Int("observe-rounds", 11, "runs under each observer, of which the median counts")
	observeLength = flag.Int("observe-length", 10000, "rounds of ping-pong in a run")

	soak = flag.Duration("soak", 0, "instead of all that: observe this program for so long while it is busy, and show its memory and the lost records")
)

func main() {
	do := bench
	if os.Getenv(pingerEnv) != "" {
		do = pinger
	} else if flag.Parse(); *observe {
		do = observing
	} else if *soak > 0 {
		do = soaking
	}
	runtime.GOMAXPROCS(4)
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	dir, err := os.MkdirTemp("", "efd-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := startC(dir)
	if err != nil {
		return err
	}
	defer c.stop()
	// Descriptors and threads as a program has them that does some work.
	stop := make(chan struct{})
	defer close(stop)
	go func() { <-stop }()

	heap := heapPerEventFD() // before the rows, whose garbage would be freed during it
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "ns per operation\tC\tefd\tx/sys/unix\tos.File\tgVisor\tSyscall6\tefd against\tat most\tallocs\t\t")
	var missed []string
	for _, r := range rows {
		if !strings.Contains(r.name, *only) {
			continue
		}
		ok, err := r.print(out, c)
		if err != nil {
			return err
		}
		if !ok {
			missed = append(missed, r.name)
		}
	}
	out.Flush()
	fmt.Printf("\nheap per EventFD that has not waited in Go's poller, clean-up included: %d bytes (at most %d): %s\n",
		heap, heapLimit, verdict(heap <= heapLimit))
	if heap > heapLimit {
		missed = append(missed, "heap per EventFD")
	}
	tracing, err := tracingOff()
	if err != nil {
		return err
	}
	fmt.Printf("cost of tracing to a call when there is no tracer: %.1f ns (below %d): %s\n",
		tracing, tracingLimit, verdict(tracing < tracingLimit))
	if tracing >= tracingLimit {
		missed = append(missed, "tracing")
	}
	fmt.Println("Syscall6: the call alone, made with the scheduler's notice: the least cost of a call that may sleep")
	fmt.Printf("kernel %s, %s, %s/%s, %d CPUs, GOMAXPROCS 4, %s of %d interleaved runs of %v\n",
		release(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), statistic(), *rounds, *length)
	if len(missed) > 0 {
		return fmt.Errorf("above the limit: %s", strings.Join(missed, "; "))
	}
	fmt.Println("all within their limits")
	return nil
}

func verdict(ok bool) string {
	if ok {
		return "pass"
	}
	return "FAIL"
}

// contender is a column: it does n operations and says how long that took.
type contender struct {
	name string
	run  func(n int) (time.Duration, error)
	ns   []float64
}

func (r *row) print(out *tabwriter.Writer, c *cPeer) (ok bool, err error) {
	var list []*contender
	var dones []func()
	defer func() {
		for _, done := range dones {
			done()
		}
	}()
	if r.c != "" {
		list = append(list, &contender{name: "C", run: func(n int) (time.Duration, error) { return c.run(r.c, n, r.size) }})
	}
	add := func(name string, w work) func(int) {
		run, done := w(r.size)
		dones = append(dones, done)
		list = append(list, &contender{name: name, run: func(n int) (time.Duration, error) {
			start := time.Now()
			run(n)
			return time.Since(start), nil
		}})
		return run
	}
	run := add("efd", r.efd)
	run(1)
	allocs := allocsOf(run)
	for i, w := range r.peers {
		if w != nil {
			add(peers[i], w)
		}
	}
	if err := measure(list); err != nil {
		return false, fmt.Errorf("%s: %w", r.name, err)
	}
	vs := "C"
	if r.c == "" {
		vs = "os.File"
	}
	ns := map[string]float64{}
	for _, l := range list {
		ns[l.name] = median(l.ns)
	}
	ratio := pairedRatio(list, vs)
	if *best {
		ratio = ns["efd"] / ns[vs]
	}
	ok = ratio <= r.limit && allocs == 0
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.2f × %s\t%.2f\t%g\t%s\t\n", r.name,
		figure(ns["C"]), figure(ns["efd"]), figure(ns["x/sys/unix"]), figure(ns["os.File"]), figure(ns["gVisor"]), figure(ns["Syscall6"]), ratio, vs, r.limit, allocs, verdict(ok))
	return ok, nil
}

// measure runs the contenders in turn, in an order that turns with the rounds.
func measure(list []*contender) error {
	n := 1
	for {
		took, err := list[0].run(n)
		if err != nil {
			return err
		}
		if took > *length/4 {
			n = max(1, int(float64(n)*float64(*length)/float64(took)))
			break
		}
		n *= 4
	}
	for round := range *rounds {
		for i := range list {
			l := list[(round+i)%len(list)]
			took, err := l.run(n)
			if err != nil {
				return err
			}
			l.ns = append(l.ns, float64(took)/float64(n))
		}
	}
	return nil
}

func median(v []float64) float64 {
	if *best {
		return slices.Min(v)
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// pairedRatio is the median of efd's time divided by the other's in the same
// round: other load on the machine slows down both.
func pairedRatio(list []*contender, vs string) float64 {
	by := map[string][]float64{}
	for _, l := range list {
		by[l.name] = l.ns
	}
	ratios := make([]float64, len(by[vs]))
	for i := range ratios {
		ratios[i] = by["efd"][i] / by[vs][i]
	}
	return median(ratios)
}

func statistic() string {
	if *best {
		return "best"
	}
	return "medians"
}

func figure(ns float64) string {
	if ns == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", ns)
}

// allocsOf is the number of allocations in 100 operations, per operation.
// Starting the goroutines adds less than one to each.
func allocsOf(run func(int)) float64 {
	return float64(int(testing.AllocsPerRun(5, func() { run(100) }) / 100))
}

func heapPerEventFD() int64 {
	const n = 5000
	list := make([]*efd.EventFD, n)
	var before, after runtime.MemStats
	runtime.GC() // the cleanups of the objects that the first collection found
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range list {
		list[i] = must1(efd.New(0, 0))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	defer func() {
		for _, e := range list {
			e.Close()
		}
	}()
	runtime.KeepAlive(list)
	return int64(after.HeapAlloc-before.HeapAlloc) / n
}

// tracingOff runs the library's own benchmark of it: the check is not exported.
func tracingOff() (ns float64, err error) {
	cmd := exec.Command("go", "test", "-run=^$", "-bench=^BenchmarkTracingOff$", ".")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	m := regexp.MustCompile(`([0-9.]+) ns/check`).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("cost of tracing: %v\n%s", err, out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
