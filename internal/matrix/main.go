//go:build linux

// Command matrix boots stock Debian kernels under QEMU, runs the module's tests
// and efdtrace verify in each, and prints the results of every kernel.
//
//	go run ./internal/matrix                 # the default series
//	KERNELS="6.1 6.12" go run ./internal/matrix
//	KERNELS=all go run ./internal/matrix     # all that the mirror has
//	go run ./internal/matrix -run "efdtrace verify" -count 20
//	go run ./internal/matrix -list
//
// KERNELS names series; "6.1-plain" is the flavour that has every driver,
// "newest" the newest series. MIRROR is the URI of a Debian mirror; without it
// the host's apt is asked. Kernels are kept below $XDG_CACHE_HOME/efd or
// ~/.cache/efd. It needs apt, dpkg, xz, Debian's archive keyring and
// qemu-system-x86 or qemu-system-arm; nothing of the host's package system is
// changed.
//
// Exit status: 0 all kernels are well (a series that the mirror lacks is
// skipped), 1 one of them is not, 2 bad usage, 3 it could not run, or the mirror
// lacks all that were asked for.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// defaultKernels are the kernels of a run without KERNELS. One is a plain
// kernel, for the drivers that cloud kernels lack.
const defaultKernels = "5.10 6.1-plain 6.12 6.18 newest"

// config holds the options of one run.
type config struct {
	kernels string
	mirror  string
	arch    string
	jobs    int
	full    bool
	list    bool
	args    string // more arguments of the test programs
	steps   *regexp.Regexp
	command string // a command that guests run in place of all else
	count   int    // how often
	limit   time.Duration
	cache   string
	out     string // where results and recordings go
	total   string // a file of testsum that the counts are added to
	golden  string // where recordings are kept for tests
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(realMain(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func realMain(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, status := parseArgs(args, stderr)
	if c == nil {
		return status
	}
	failed, err := c.run(ctx, stdout, stderr)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "matrix:", err)
		return 3
	case failed:
		return 1
	}
	return 0
}

func parseArgs(args []string, stderr io.Writer) (*config, int) {
	c := &config{kernels: os.Getenv("KERNELS"), mirror: os.Getenv("MIRROR")}
	fs := flag.NewFlagSet("matrix", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&c.arch, "arch", "amd64", "the guests' architecture, as Debian names it: amd64 or arm64")
	fs.IntVar(&c.jobs, "jobs", min(2, runtime.NumCPU()), "guests that run at the same time; each takes one CPU")
	fs.BoolVar(&c.full, "full", false, "run all tests of the packages that guests test, without -test.short")
	fs.StringVar(&c.args, "args", "", "more arguments of every test program, such as \"-test.run=TestKilled -test.count=20\"")
	fs.BoolVar(&c.list, "list", false, "only list the mirror's kernels")
	fs.StringVar(&c.out, "o", "", "directory for results and recordings (default: results in the cache)")
	fs.StringVar(&c.total, "total", "", "add the counts of tests and scenarios to this file, for testsum -report")
	fs.StringVar(&c.golden, "recordings", "", "keep the recordings of kernels that are well in this directory, such as testdata/matrix")
	fs.StringVar(&c.command, "run", "", "run this `command` in the guests and nothing else; it is well if its status is 0.\n"+
		"There are efdtrace and adversary, and the module's files in /src, where it runs")
	fs.IntVar(&c.count, "count", 1, "how often the command of -run runs")
	fs.DurationVar(&c.limit, "limit", 15*time.Minute, "the longest time that a guest may take")
	steps := fs.String("steps", "", "run only the steps whose names match this regular expression")
	if err := fs.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil, 0
		}
		return nil, 2
	}
	usage := func(format string, args ...any) (*config, int) {
		fmt.Fprintf(stderr, "matrix: "+format+"\n", args...)
		return nil, 2
	}
	if fs.NArg() > 0 {
		return usage("%q: takes no arguments; KERNELS names the kernels", fs.Arg(0))
	}
	if _, ok := qemu[c.arch]; !ok {
		return usage("-arch %q: want amd64 or arm64", c.arch)
	}
	if c.jobs < 1 {
		return usage("-jobs %d: at least 1", c.jobs)
	}
	if c.command != "" && strings.TrimSpace(c.command) == "" {
		return usage("-run: the command is empty")
	}
	if c.count < 1 {
		return usage("-count %d: at least 1", c.count)
	}
	if c.limit <= 0 {
		return usage("-limit %v: want more than 0", c.limit)
	}
	var err error
	if c.steps, err = regexp.Compile(*steps); err != nil {
		return usage("-steps: %v", err)
	}
	if strings.TrimSpace(c.kernels) == "" {
		c.kernels = defaultKernels
	}
	if _, _, err := choose(nil, strings.Fields(c.kernels)); err != nil {
		return usage("%v", err)
	}
	if c.mirror != "" {
		if _, err := namedMirror(c.mirror); err != nil {
			return usage("%v", err)
		}
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return usage("no directory for the cache: %v", err)
	}
	c.cache = filepath.Join(base, "efd")
	if c.out == "" {
		c.out = filepath.Join(c.cache, "results", c.arch)
	}
	return c, 0
}

// run fetches, builds, boots and reports. failed is set if a kernel failed.
func (c *config) run(ctx context.Context, stdout, stderr io.Writer) (failed bool, err error) {
	p := &progress{w: stderr, begin: time.Now()}
	if !c.list {
		unlock, err := tryLock(c.out)
		if err != nil {
			return false, fmt.Errorf("-o: %w", err)
		}
		defer unlock()
	}
	// One run at a time uses apt and its downloads.
	unlock, err := lock(ctx, c.cache, p)
	if err != nil {
		return false, err
	}
	defer unlock()
	list, err := c.findKernels(ctx, p)
	if err != nil {
		return false, err
	}
	if c.list {
		for _, k := range list {
			fmt.Fprintf(stdout, "%s\t%s\n", k.spec(), k.ABI)
		}
		return false, nil
	}
	if _, err := exec.LookPath(qemu[c.arch].program); err != nil {
		return false, fmt.Errorf("package qemu-system-x86 or qemu-system-arm: %w", err)
	}
	results, err := c.runAll(ctx, list, unlock, p)
	if err != nil {
		return false, err
	}
	textTable(stdout, results)
	for _, r := range results {
		details(stdout, r)
		failed = failed || r.Status == statusFailed
	}
	return failed, c.save(results)
}

func (c *config) findKernels(ctx context.Context, p *progress) ([]*kernel, error) {
	find1 := hostMirror
	if c.mirror != "" {
		find1 = func(context.Context) (mirror, error) { return namedMirror(c.mirror) }
	}
	m, err := find1(ctx)
	if err != nil {
		return nil, err
	}
	list, notes, err := find(ctx, c.cache, c.arch, m)
	for _, n := range notes {
		p.say("%s", n)
	}
	return list, err
}

// save writes the results next to the recordings.
func (c *config) save(results []*result) error {
	if err := os.MkdirAll(c.out, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.out, "matrix.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	if c.golden != "" {
		if err := c.keepRecordings(results); err != nil {
			return err
		}
	}
	if c.total != "" {
		if err := addTo(c.total, results); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(c.out, "matrix.md"))
	if err != nil {
		return err
	}
	markdownTable(f, results)
	return f.Close()
}
