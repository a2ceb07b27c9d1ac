//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
)

// progress writes lines for people, with the time since the start.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	begin time.Time
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%4ds  %s\n", int(time.Since(p.begin).Seconds()), fmt.Sprintf(format, args...))
}

// maxSilence is generous, too: a loaded host makes a guest several times slower.
const maxSilence = 90 * time.Second

// runAll runs the kernels that were asked for, some at a time; the results are in their order.
// It calls all when nothing more is to be fetched.
func (c *config) runAll(ctx context.Context, list []*kernel, all func(), p *progress) ([]*result, error) {
	chosen, missing, err := choose(list, strings.Fields(c.kernels))
	if err != nil {
		return nil, err
	}
	var results []*result
	for _, w := range missing {
		p.say("%s: skipped: the mirror does not have this series", w)
		results = append(results, &result{Series: w, Arch: c.arch, Status: statusSkipped, Reason: "the mirror does not have this series"})
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("KERNELS=%q: the mirror has none of them", c.kernels)
	}
	tmp, err := os.MkdirTemp("", "efd-matrix-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	base := filepath.Join(tmp, "base.cpio")
	var pkgs []string
	built := make(chan error, 1)
	go func() {
		var err error
		pkgs, err = c.build(ctx, base, p)
		built <- err
	}()
	fetched := c.fetchAll(ctx, chosen, all, p)
	if err := <-built; err != nil {
		return nil, err
	}
	slots := make(chan struct{}, c.jobs)
	var wg sync.WaitGroup
	for i, k := range chosen {
		r := &result{Series: k.spec(), Arch: k.Arch, Kernel: k.ABI, required: k.has()}
		results = append(results, r)
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := <-fetched[i]; err != nil {
				r.Status, r.Reason = statusFailed, err.Error()
			} else {
				r.Package = k.Version
				c.runKernel(ctx, k, base, filepath.Join(tmp, k.ABI+".cpio"), c.job(k, pkgs), r)
			}
			p.say("%s", r.line())
		})
	}
	wg.Wait()
	return results, ctx.Err()
}

// fetchAll fetches the kernels one after the other, while the first of them run
// already. Each has a channel that is closed when it is fetched.
func (c *config) fetchAll(ctx context.Context, chosen []*kernel, all func(), p *progress) []chan error {
	fetched := make([]chan error, len(chosen))
	for i := range fetched {
		fetched[i] = make(chan error, 1)
	}
	go func() {
		defer all()
		for i, k := range chosen {
			fresh, err := k.fetch(ctx, c.cache)
			if fresh {
				p.say("%s: fetched %s", k.spec(), k.ABI)
			}
			fetched[i] <- err
		}
	}()
	return fetched
}

// build makes the initramfs that all guests share and returns the packages
// whose tests are in it.
func (c *config) build(ctx context.Context, out string, p *progress) ([]string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	root, err := moduleRoot(wd)
	if err != nil {
		return nil, err
	}
	var pkgs []string
	if c.command == "" {
		if pkgs, err = testPackages(ctx, root, c.arch); err != nil {
			return nil, err
		}
	}
	if err := buildInitramfs(ctx, root, c.arch, out, pkgs); err != nil {
		return nil, err
	}
	fi, err := os.Stat(out)
	if err != nil {
		return nil, err
	}
	p.say("built the guests' programs: %d MB", fi.Size()>>20)
	return pkgs, nil
}

func moduleRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil && strings.HasPrefix(string(b), "module "+module+"\n") {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not below the module "+module+": run it there", dir)
		}
	}
}

// runKernel boots one kernel and fills in its result.
func (c *config) runKernel(ctx context.Context, k *kernel, base, initrd string, job wire.Job, r *result) {
	begin := time.Now()
	defer func() {
		r.Seconds = time.Since(begin).Seconds()
		r.finish()
	}()
	if err := addKernel(base, k, job, initrd); err != nil {
		r.Status, r.Reason = statusFailed, err.Error()
		return
	}
	defer os.Remove(initrd)
	home := filepath.Join(c.out, k.ABI)
	if err := os.RemoveAll(home); err != nil {
		r.Status, r.Reason = statusFailed, err.Error()
		return
	}
	os.MkdirAll(home, 0o755)
	in := &intake{r: r, dir: home, mayBeNone: c.args != "", command: c.command != "", begin: time.Now()}
	log, err := boot(ctx, k, initrd, limits{silence: maxSilence, total: c.limit}, in.frame)
	os.WriteFile(filepath.Join(home, "console.log"), []byte(log), 0o644)
	r.Notes = append(r.Notes, warnings(log)...)
	if err != nil {
		r.Status, r.Reason = statusFailed, err.Error()
		if in.current != "" {
			r.Reason += " in: " + in.current
		}
		r.Log = lastWords(log)
	} else {
		in.close(job)
	}
}

// keepRecordings keeps the recordings of verify on each kernel on which every
// runnable scenario succeeded.
func (c *config) keepRecordings(results []*result) error {
	for _, r := range results {
		if s := r.sums(); r.Status != statusOK || s.ok == 0 || s.unsure > 0 {
			continue
		}
		version, _, _ := strings.Cut(r.Package, "-")
		if r.Arch != "amd64" {
			version += "-" + r.Arch
		}
		if err := os.MkdirAll(c.golden, 0o755); err != nil {
			return err
		}
		if err := trim(filepath.Join(c.out, r.Kernel, verifyRecording), filepath.Join(c.golden, version+".jsonl.gz")); err != nil {
			return err
		}
	}
	return nil
}

// intake takes a guest's frames in.
type intake struct {
	r       *result
	dir     string // where files go
	current string // the step that runs
	output  strings.Builder
	ended   map[string]bool // steps
	err     error

	mayBeNone bool // a test program may run no test: -args chose them
	command   bool // each step is a command, and counts as a test

	begin     time.Time
	verifyErr error // why verify's JSON could not be read
}

func (in *intake) frame(f wire.Frame, body []byte) {
	switch f.Kind {
	case wire.Hello:
		in.r.Boot = time.Since(in.begin).Seconds()
		in.r.Notes = append(in.r.Notes, f.Detail...)
		if f.Text != in.r.Kernel {
			in.fail(fmt.Errorf("asked for %s, the guest runs %s", in.r.Kernel, f.Text))
		}
	case wire.Start:
		in.current = f.Step
		in.output.Reset()
	case wire.Output:
		in.output.Write(body)
	case wire.File:
		in.fail(in.save(f.Text, body))
		if f.Text == verifyJSON {
			in.verifyErr = in.r.readVerify(body)
		}
	case wire.End:
		in.fail(in.save(in.logName(f.Step), []byte(in.output.String())))
		in.end(f)
		in.current = ""
	}
}

// close judges the whole of a guest that came to the end of its job.
func (in *intake) close(job wire.Job) {
	if err := cmp.Or(in.err, in.unheard(job)); err != nil {
		in.r.Status, in.r.Reason = statusFailed, err.Error()
	}
}

// unheard reports a step for which the guest sent no end.
func (in *intake) unheard(job wire.Job) error {
	if len(job.Steps) == 0 {
		return errors.New("there was nothing to do: no step has a name that -steps matches")
	}
	for _, s := range job.Steps {
		if !in.ended[s.Name] {
			return fmt.Errorf("the guest was done without the step %q", s.Name)
		}
	}
	return nil
}

// end reads the output of a step that is over.
func (in *intake) end(f wire.Frame) {
	if in.ended == nil {
		in.ended = map[string]bool{}
	}
	in.ended[f.Step] = true
	out := in.output.String()
	if in.command {
		in.r.Tests = append(in.r.Tests, readCommand(f, out))
		return
	}
	if f.Step != verifyStep {
		t := readTests(f.Step, f, out)
		if t.Status == statusOK && t.Passed+len(t.Skipped) == 0 && !in.mayBeNone {
			t.Status, t.Output = statusFailed, "no test ran"
		}
		if n := len(in.r.Tests); n > 0 && in.r.Tests[n-1].Name == t.Name {
			first := in.r.Tests[n-1]
			t.Once = append(first.Failed, fmt.Sprintf("exit status %d", first.Exit))
			in.r.Tests = in.r.Tests[:n-1]
		}
		in.r.Tests = append(in.r.Tests, t)
		return
	}
	// Status 1 is a finding, which the scenarios show.
	if in.r.Verify == nil || f.Status > 1 || f.Status < 0 || f.Status == 1 && in.r.sums().bad == 0 {
		t := readTests(f.Step, f, out)
		if in.verifyErr != nil {
			t.Output += "\n" + in.verifyErr.Error()
		}
		t.Status = statusFailed
		in.r.Tests = append(in.r.Tests, t)
	}
}

// logName is the file for the output of a step. That of a test program that
// failed and runs once more has a name of its own.
func (in *intake) logName(step string) string {
	name := strings.NewReplacer(" ", "-", "/", "-").Replace(step)
	if n := len(in.r.Tests); n > 0 && in.r.Tests[n-1].Name == step {
		name += "-again"
	}
	return name + ".log"
}

func (in *intake) save(name string, body []byte) error {
	name = filepath.Join(in.dir, filepath.Clean("/"+name))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, body, 0o644)
}

func (in *intake) fail(err error) {
	if in.err == nil {
		in.err = err
	}
}

// line is the one line that a kernel gets when it is done.
func (r *result) line() string {
	s := fmt.Sprintf("%s: %s", r.Series, r.Status)
	if r.Kernel != "" {
		s = fmt.Sprintf("%s (%s): %s", r.Series, r.Kernel, r.Status)
	}
	if n := r.sums(); n.passed+n.failed+n.skipped > 0 {
		s += ", tests: " + count(n.passed, n.failed, n.skipped, 0)
		if len(r.Verify) > 0 {
			s += "; scenarios: " + count(n.ok, n.bad, n.left, n.unsure)
		}
	}
	s += fmt.Sprintf("; %.0f s", r.Seconds)
	if r.Reason != "" {
		reason, _, _ := strings.Cut(r.Reason, "\n")
		s += ": " + reason
	}
	return s
}
