//go:build linux

// Command adversary attacks efdtrace: with files that are hostile to their
// reader, in environments that refuse something, and with outputs that fail
// writes. It reports each failure, and its exit status is 1 then.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/efd-go/efd/internal/adversary/hostile"
	"golang.org/x/sys/unix"
)

// maxMemory is the most that a command may take that reads a file, in kB.
const maxMemory = 256 << 10

func main() {
	if len(os.Args) > 2 && os.Args[1] == "become" {
		i := slices.Index(os.Args, "--")
		fmt.Fprintln(os.Stderr, hostile.Become(os.Args[2:i], os.Args[i+1:]))
		os.Exit(125)
	}
	if len(os.Args) > 1 && os.Args[1] == "pingpong" {
		os.Exit(pingPong())
	}
	short := flag.Bool("short", false, "a tenth of the mutants, and the environments that matter most")
	efdtrace := flag.String("efdtrace", "", "the `command` to attack; the default is to build it")
	seed := flag.Uint64("seed", 1, "of the mutants")
	mutants := flag.Int("mutants", 20_000, "how many `files` are changed at random, of all kinds together")
	only := flag.String("only", "", "one `part`: bombs, environments, outputs or mutants")
	flag.Parse()
	if *short {
		*mutants /= 20
	}
	if signal.Ignored(unix.SIGHUP) { // as under nohup: the attacked command would ignore it too
		signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	}
	dir, err := os.MkdirTemp("", "efd-adversary-")
	if err != nil {
		fatal(err)
	}
	defer os.RemoveAll(dir)
	if *efdtrace == "" {
		*efdtrace = filepath.Join(dir, "efdtrace")
		build := exec.Command("go", "build", "-o", *efdtrace, "./cmd/efdtrace")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			os.RemoveAll(dir)
			fatal(fmt.Errorf("go build ./cmd/efdtrace: %w: %s", err, out))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := &attack{ctx: ctx, efdtrace: *efdtrace, dir: dir, short: *short}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, unix.SIGINT, unix.SIGTERM)
	go func() {
		sig := (<-interrupted).(unix.Signal)
		a.mu.Lock() // for good: a command that ends now broke nothing, and a file that is gone is no error
		cancel()
		fmt.Printf("interrupted in %s after %d commands\n", a.part.Load(), a.ran.Load())
		a.total()
		os.RemoveAll(dir)
		os.Exit(128 + int(sig))
	}()
	for _, part := range []struct {
		name string
		run  func()
	}{{"bombs", a.bombs}, {"environments", a.environments}, {"outputs", a.outputs}, {"mutants", func() { a.mutants(*seed, *mutants) }}} {
		if *only != "" && *only != part.name {
			continue
		}
		a.part.Store(part.name)
		start, ran := time.Now(), a.ran.Load()
		part.run()
		fmt.Printf("%-13s %6d commands, %v\n", part.name, a.ran.Load()-ran, time.Since(start).Round(100*time.Millisecond))
	}
	a.total()
	if a.broken.Load() > 0 {
		os.RemoveAll(dir)
		os.Exit(1)
	}
}

func (a *attack) total() {
	fmt.Printf("most memory of a command that reads a file: %d MB; %d broke\n", a.most.Load()>>10, a.broken.Load())
}

// fatal ends the attack, unless an interrupt does.
func (a *attack) fatal(err error) {
	a.mu.Lock()
	fatal(err)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "adversary:", err)
	os.Exit(2)
}

// attack is one run against a command.
type attack struct {
	ctx      context.Context // done when it is interrupted
	part     atomic.Value    // the name of the one that runs
	efdtrace string
	dir      string
	short    bool

	ran, broken, most atomic.Int64
	mu                sync.Mutex // of standard output
}

// outcome holds the results of a command.
type outcome struct {
	status         int // -1: killed by a signal
	stdout, stderr string
	memory         int64 // kB
	late           bool  // it had to be killed
}

// broke reports a failure of a command.
func (a *attack) broke(what string, o outcome, format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken.Add(1) > 20 {
		return
	}
	fmt.Printf("BROKE %s: %s\n  status %d, %d MB, stderr %.600q, stdout %.300q\n", what, fmt.Sprintf(format, args...), o.status, o.memory>>10, o.stderr, o.stdout)
}

// run runs a command to its end, within a limit.
func (a *attack) run(limit time.Duration, cmd *exec.Cmd) outcome {
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	cmd.WaitDelay = time.Second
	a.ran.Add(1)
	if err := cmd.Start(); err != nil {
		return outcome{status: 124, stderr: err.Error()}
	}
	if os.Getenv("EFD_EMULATED") != "" {
		limit *= 10
	}
	late := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	o := outcome{stdout: stdout.String(), stderr: stderr.String(), late: !late.Stop()}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	o.status = cmd.ProcessState.ExitCode()
	o.memory = int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // int32 on 32 bits
	return o
}

// sane reports a command that hung, panicked, or ended in a status that it has
// not.
func (a *attack) sane(what string, o outcome, statuses ...int) bool {
	switch {
	case o.late:
		a.broke(what, o, "had to be killed")
	case strings.Contains(o.stderr, "goroutine ") || strings.Contains(o.stderr, "panic:") || strings.Contains(o.stderr, "fatal error:"):
		a.broke(what, o, "a panic")
	case !slices.Contains(statuses, o.status):
		a.broke(what, o, "want a status of %v", statuses)
	default:
		return true
	}
	return false
}

// command is efdtrace in an environment.
func (a *attack) command(conditions []string, args ...string) *exec.Cmd {
	argv := append([]string{a.efdtrace}, args...)
	if len(conditions) > 0 {
		argv = append(append(append([]string{"/proc/self/exe", "become"}, conditions...), "--"), argv...)
	}
	cmd := exec.CommandContext(a.ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	return cmd
}
