//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
	"github.com/efd-go/efd/internal/scenario"
)

const (
	module     = "github.com/efd-go/efd"
	here       = "internal/matrix" // a module of its own, so that the library's zip does not have it
	guestSrc   = "src"             // where the guest has the module's files
	guestTests = "test"            // and its test programs
	ordinary   = 1000              // a user without privileges
)

// selection says which tests of a package run in a guest: those of run, which
// is all if it is empty, but those of skip.
type selection struct{ run, skip string }

// none selects no test.
var none = &selection{}

// inGuests are the packages of which only some tests run in guests: the others
// give the same result on every kernel, take long and are about races of Go
// code, or need the go command or a shell, which a guest does not have.
var inGuests = map[string]*selection{
	".":                      {skip: "^(ExampleEventFD_File_exec|TestHandlesAloneAreSmall|TestCallPathNames|TestCloseRaces.*|TestPollSetChangeKeepsTheLimit|TestPollSetOfALingeringConn|TestWakeRaces|TestCloseMeetsABeginningWait|TestTracerRemoveWhileCalling|Fuzz.*)$"},
	"cmd/efdtrace":           {run: "^(TestDemo|TestDoctor|TestRunAndReplay|TestRunTraced|TestWaiter)$"},
	"internal/learn":         {run: "^TestLessonsRun$"},
	"internal/ktrace/record": {run: "^TestLive$"},
	"internal/scenario/lab":  {run: "^(TestThisKernel|TestRecordAndReplay)$"},

	"internal/ktrace/source/perf": {skip: "^(TestWakeOverATracedThread|Fuzz.*)$"},

	"efdtest":                  none,
	"internal/aged":            none,
	"internal/catalogcheck":    none,
	"internal/check":           none,
	"internal/explain":         none,
	"internal/house":           none,
	"internal/probe":           none,
	"internal/testenv":         none,
	"internal/testsum":         none,
	"internal/uapi":            none,
	"internal/ktrace":          none,
	"internal/ktrace/catalog":  none,
	"internal/ktrace/match":    none,
	"internal/ktrace/observe":  none,
	"internal/ktrace/recorded": none,
	"internal/ktrace/render":   none,
	"internal/ktrace/source":   none,
	"internal/ktrace/strace":   none,
}

// testPackages are the module's packages that have tests for this architecture
// and of the kernel, as paths below its root.
func testPackages(ctx context.Context, root, arch string) ([]string, error) {
	out, err := goTool(ctx, root, arch, "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}", "./...")
	if err != nil {
		return nil, err
	}
	var pkgs []string
	for p := range strings.FieldsSeq(string(out)) {
		rel := strings.TrimPrefix(strings.TrimPrefix(p, module), "/")
		if rel == "" {
			rel = "."
		}
		if inGuests[rel] != none {
			pkgs = append(pkgs, rel)
		}
	}
	return pkgs, nil
}

func goTool(ctx context.Context, root, arch string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if e, ok := err.(*exec.ExitError); ok {
			stderr = e.Stderr
		}
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, lastLines(string(stderr), 10))
	}
	return out, nil
}

// testName is the name of a package's test program: "internal/ktrace/ksym" is "ksym".
func testName(pkg string) string {
	if pkg == "." {
		return "efd"
	}
	return path.Base(pkg)
}

// buildPrograms builds everything that runs in the guest, statically, into dir.
func buildPrograms(ctx context.Context, root, arch, dir string, pkgs []string) error {
	const link = "-ldflags=-s -w"
	for _, b := range []struct{ out, in, pkg string }{{"init", here, "./guest"}, {"efdtrace", "", "./cmd/efdtrace"}, {"adversary", "", "./internal/adversary"}} {
		if _, err := goTool(ctx, filepath.Join(root, b.in), arch, "build", link, "-o", filepath.Join(dir, b.out), b.pkg); err != nil {
			return err
		}
	}
	tests := filepath.Join(dir, guestTests)
	if err := os.Mkdir(tests, 0o755); err != nil || len(pkgs) == 0 {
		return err
	}
	args := []string{"test", "-c", link, "-o", tests + "/"}
	for _, p := range pkgs {
		args = append(args, "./"+p)
	}
	_, err := goTool(ctx, root, arch, args...)
	return err
}

// buildInitramfs writes the archive that all guests of one architecture share.
// It is not compressed: QEMU loads it faster than a guest unpacks it.
func buildInitramfs(ctx context.Context, root, arch, out string, pkgs []string) error {
	dir, err := os.MkdirTemp(filepath.Dir(out), "programs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := buildPrograms(ctx, root, arch, dir, pkgs); err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	c := newCpio(f)
	for _, d := range []string{"proc", "sys", "dev", "tmp", "root", "bin", "mod"} {
		c.dir(d)
	}
	c.char("dev/console", 0o600, 5, 1)
	c.bytes("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"))
	c.bytes("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	if err := c.file("init", filepath.Join(dir, "init")); err != nil {
		return err
	}
	for _, program := range []string{"efdtrace", "adversary"} {
		if err := c.file("bin/"+program, filepath.Join(dir, program)); err != nil {
			return err
		}
	}
	if err := c.tree(guestTests, filepath.Join(dir, guestTests)); err != nil {
		return err
	}
	if err := addSources(c, root); err != nil {
		return err
	}
	if err := c.close(); err != nil {
		return err
	}
	return f.Close()
}

// addSources adds the module's files, which tests read from their directory.
func addSources(c *cpioWriter, root string) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || rel == "bin") {
				return filepath.SkipDir
			}
			c.dir(path.Join(guestSrc, filepath.ToSlash(rel)))
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return c.file(path.Join(guestSrc, filepath.ToSlash(rel)), p)
	})
}

// modules adds a kernel's modules, under names in the order of loading.
func (c *cpioWriter) modules(k *kernel) error {
	for i, m := range wanted {
		file := filepath.Join(k.dir, "modules", m+".ko")
		if _, err := os.Stat(file); err != nil {
			continue // built in, or not of this flavour
		}
		if err := c.file(fmt.Sprintf("mod/%02d-%s.ko", i, m), file); err != nil {
			return err
		}
	}
	return nil
}

// addKernel writes base and after it an archive with the kernel's modules and
// its job.
func addKernel(base string, k *kernel, job wire.Job, out string) error {
	text, err := json.Marshal(job)
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := os.Open(base)
	if err != nil {
		return err
	}
	defer b.Close()
	n, err := f.ReadFrom(b)
	if err != nil {
		return err
	}
	c := newCpio(f)
	c.pad(int(n % 4))
	if err := c.modules(k); err != nil {
		return err
	}
	c.bytes(strings.TrimPrefix(wire.JobFile, "/"), 0o644, text)
	if err := c.close(); err != nil {
		return err
	}
	return f.Close()
}

// has lists the facilities of a guest: the tiers that tests require, and the
// scenarios that it can run. A test that needs one of them fails there instead
// of skipping.
func (k *kernel) has() []string {
	list := []string{"perf", "tracefs", "kallsyms", "watch", "ftrace", "text"}
	before := func(series string) bool { return naturalCompare(k.Series, series) < 0 }
	lacks := map[string]bool{
		"input":              k.Flavour != "",
		"timeout_epoll_nsec": before("5.11"), // epoll_pwait2
		"epoll_ioctl":        before("6.9"),  // EPIOCSPARAMS
		"pidfd_thread":       before("6.9"),  // PIDFD_THREAD
		// IORING_SETUP_DEFER_TASKRUN, with a signal that is not put off.
		"io_uring_poll": before("6.1") || k.Series == "6.12" || !before("7.2"),
		"memcg":         !before("6.12"), // Debian no longer configures the controller of cgroup v1
	}
	if k.Arch == "amd64" {
		list = append(list, "kvm", "vhost")
	} else {
		for _, name := range []string{"kvm_ioeventfd", "kvm_ioeventfd_vhost", "kvm_irqfd", "poll", "restart_poll", "select"} {
			lacks[name] = true
		}
	}
	if k.Flavour == "" {
		list = append(list, "uinput")
	}
	for _, name := range scenario.Names() {
		if !lacks[name] {
			list = append(list, name)
		}
	}
	return list
}

// The step that holds the catalogue against the kernel, and the files that it
// leaves.
const (
	verifyStep      = "efdtrace verify"
	verifyDir       = "/tmp/verify"
	verifyJSON      = "verify.json"
	verifyRecording = "verify.jsonl.gz"
)

// The limits of one step. A second's work takes ten in a guest if the host is
// loaded.
const (
	stepLimit   = 3 * time.Minute
	verifyLimit = 5 * time.Minute
)

// job lists the steps of a guest: the tests as root, the library's once more as
// an ordinary user, and the conformance of paths. GOGC: memory is cheaper there
// than time.
func (c *config) job(k *kernel, pkgs []string) wire.Job {
	env := []string{"EFD_REQUIRE=" + strings.Join(k.has(), ","), "EFD_EMULATED=1", "GOGC=400"}
	if c.command != "" {
		return wire.Job{Env: env, Steps: c.commandSteps()}
	}
	var steps []wire.Step
	for _, p := range pkgs {
		steps = append(steps, c.testStep(p, 0))
		if p == "." {
			steps = append(steps, c.testStep(p, ordinary))
		}
	}
	steps = append(steps, wire.Step{
		Name: verifyStep, Dir: "/", Timeout: verifyLimit,
		Args: []string{"/bin/efdtrace", "verify", "-json", "-o", path.Join(verifyDir, verifyRecording), "-format", "recording"},
		Keep: verifyDir, Stdout: path.Join(verifyDir, verifyJSON),
	})
	steps = slices.DeleteFunc(steps, func(s wire.Step) bool { return !c.steps.MatchString(s.Name) })
	return wire.Job{Env: env, Steps: steps}
}

// commandSteps run the command that was asked for in place of the tests.
func (c *config) commandSteps() (steps []wire.Step) {
	args := strings.Fields(c.command)
	if !strings.Contains(args[0], "/") {
		args[0] = "/bin/" + args[0]
	}
	for i := range c.count {
		name := c.command
		if c.count > 1 {
			name = fmt.Sprintf("%s, %d of %d", name, i+1, c.count)
		}
		steps = append(steps, wire.Step{Name: name, Dir: "/" + guestSrc, Args: args, Timeout: c.limit})
	}
	return steps
}

// testStep runs the tests of a package: with -full all of them, else those
// that the kernel decides.
func (c *config) testStep(pkg string, uid int) wire.Step {
	s := wire.Step{
		Name: "test " + pkg, Dir: path.Join("/"+guestSrc, pkg), UID: uid, Timeout: stepLimit,
		Twice: true, // an emulated processor may be too slow for a test once; twice is a failure, and so is a hang, a panic or a crash
		Args:  []string{"/" + guestTests + "/" + testName(pkg) + ".test", "-test.v", fmt.Sprintf("-test.timeout=%v", stepLimit-10*time.Second)},
	}
	if uid != 0 {
		s.Name += " as a user"
		s.Env = []string{"EFD_REQUIRE="}
	}
	if !c.full {
		s.Args = append(s.Args, "-test.short")
		if sel := inGuests[pkg]; sel != nil {
			skip := sel.skip
			if uid != 0 {
				skip += "|^TestObserve" // needs privileges, and says so slowly
			}
			s.Args = append(s.Args, "-test.run="+sel.run, "-test.skip="+strings.TrimPrefix(skip, "|"))
		}
	}
	s.Args = append(s.Args, strings.Fields(c.args)...)
	return s
}
