//go:build linux

package catalog_test

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/testenv"
)

func version(t testing.TB, s string) ktrace.Version {
	t.Helper()
	v, err := ktrace.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func get(t testing.TB, name, v string, syms ktrace.SymbolSet) *ktrace.Path {
	t.Helper()
	p, err := catalog.Default().Path(name, version(t, v), syms)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// unproved lists what the catalogue claims of its reviewed trees and no proof
// is there for.
func unproved(c *catalog.Catalog) []string {
	var out []string
	for _, tree := range c.Trees() {
		present, _ := c.Claims(tree.Version)
		for _, cl := range present {
			if c.Line(tree, cl.ID) == 0 {
				out = append(out, fmt.Sprintf("%s: %s: %s -> %s", tree.Version, cl.Where, cl.Caller, cl.Callee))
			}
		}
	}
	return out
}

func TestEveryCallIsProved(t *testing.T) {
	if bad := unproved(catalog.Default()); len(bad) > 0 {
		t.Errorf("%d calls are not proved; run make catalog-check and write the proofs anew:\n%s", len(bad), strings.Join(bad, "\n"))
	}
}

func TestProofsAreNotEdited(t *testing.T) {
	if bad := catalog.Default().CheckSums(); len(bad) > 0 {
		t.Errorf("proofs that catalogcheck did not write: %q", bad)
	}
	c, err := catalog.Load(copyData(t, "proved.txt", "  - - - - - 109 ", "  - - - - - 110 "))
	if err != nil {
		t.Fatal(err)
	}
	if bad := c.CheckSums(); len(bad) != 1 {
		t.Errorf("one line was edited, %d show it", len(bad))
	}
}

// copyData is the catalogue's data with one replacement in one file.
func copyData(t *testing.T, file, old, new string) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	root := os.DirFS("data")
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(root, p)
		if p == file {
			s := strings.Replace(string(b), old, new, 1)
			if s == string(b) {
				t.Fatalf("%s holds no %q", file, old)
			}
			b = []byte(s)
		}
		out[p] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMisspeltCalleeIsNotProved(t *testing.T) {
	c, err := catalog.Load(copyData(t, "parts/wake_locked.txt", "__wake_up_locked_key -> __wake_up_common", "__wake_up_locked_key -> __wake_up_comon"))
	if err != nil {
		t.Fatal(err)
	}
	if bad := unproved(c); len(bad) < len(c.Trees()) {
		t.Errorf("a misspelt callee has proofs: %d unproved claims in %d trees", len(bad), len(c.Trees()))
	}
	p, err := c.Path("eventfd_write", version(t, "6.18"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Edges {
		if e.Callee == "__wake_up_comon" && e.Proved {
			t.Error("the misspelt call counts as proved")
		}
	}
}

func TestBadDataIsNamed(t *testing.T) {
	for _, tc := range []struct{ file, old, new, want string }{
		{"parts/wake_locked.txt", "->", "-->", "parts/wake_locked.txt:4"},
		{"parts/wake_epoll.txt", "+ep_wake_sync", "+ep_wake_sunc", `no change "ep_wake_sunc"`},
		{"paths/eventfd_write.txt", "[irqfd]", "[irqf]", "no branch line"},
		{"paths/eventfd_write.txt", "[irqfd]", "[timed-out]", `has no branch "timed-out"`},
		{"paths/eventfd_write.txt", "use wake_poller", "use wake_pollers", `no part "wake_pollers"`},
		{"changes.txt", "since 6.8|6.9", "since six", "changes.txt:"},
		{"builds.txt", "tail wake_up_process", "tale wake_up_process", `unknown word "tale"`},
		{"builds.txt", "try_to_wake_up             x86-64: text", "try_to_wake_up             text", `want tail|inlined CALLER CALLEE MACHINE: GROUND`},
		{"proved.txt", "tree 4.19", "tree four", "proved.txt:"},
	} {
		c, err := catalog.Load(copyData(t, tc.file, tc.old, tc.new))
		if err == nil {
			err = c.Check()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q for %q in %s: error %v, want one with %q", tc.new, tc.old, tc.file, err, tc.want)
		}
	}
}

// symbols is a set of kernel symbols.
type symbols map[string]bool

func (s symbols) Variants(name string) []string {
	if s[name] {
		return []string{name}
	}
	return nil
}

func has(p *ktrace.Path, caller, callee string) bool {
	for _, e := range p.Edges {
		if e.Caller == caller && e.Callee == callee {
			return true
		}
	}
	return false
}

func TestSymbolsDecide(t *testing.T) {
	plain := get(t, "epoll_wake", "5.10", nil)
	if !has(plain, "__wake_up_common", "autoremove_wake_function") || has(plain, "__wake_up_common", "ep_autoremove_wake_function") {
		t.Errorf("5.10 by version: the waiter has the wrong wake function")
	}
	stable := get(t, "epoll_wake", "5.10", &symbols{"try_to_wake_up": true, "ep_autoremove_wake_function": true})
	if has(stable, "__wake_up_common", "autoremove_wake_function") || !has(stable, "__wake_up_common", "ep_autoremove_wake_function") {
		t.Errorf("a 5.10 with ep_autoremove_wake_function: the waiter has the wrong wake function")
	}
	if !strings.Contains(stable.DecidedBy, "has ep_autoremove_wake_function") {
		t.Errorf("DecidedBy is %q and does not name the symbol", stable.DecidedBy)
	}
	// A kernel whose symbols cannot be read decides nothing.
	if p := get(t, "epoll_wake", "5.10", &symbols{}); len(p.Edges) != len(plain.Edges) || strings.Contains(p.DecidedBy, "symbols") {
		t.Errorf("an empty symbol table decided: %q", p.DecidedBy)
	}
}

func TestNearestVersion(t *testing.T) {
	for _, tc := range []struct{ v, want string }{
		{"4.19", "version 4.19, reviewed"},
		{"3.10", "older than the oldest reviewed kernel"},
		{"9.1", "newer than the newest reviewed kernel"},
		{"6.18", "reviewed as 6.18.2"},
		{"6.3", "the change log between 6.1.192 and 6.4.4 decides"},
		{"6.18.44", "of whose series 6.18.2 was reviewed: lines are of that"},
		{"6.18.1", "of whose series 6.18.2 was reviewed: lines are of that"},
	} {
		if got := get(t, "eventfd_write", tc.v, nil).DecidedBy; !strings.Contains(got, tc.want) {
			t.Errorf("%s: DecidedBy is %q, want %q in it", tc.v, got, tc.want)
		}
	}
}

// TestNearestLines: a version that was not read has the lines of the nearest
// tree of its series, and of no other series.
func TestNearestLines(t *testing.T) {
	for _, tc := range []struct{ v, tree string }{
		{"6.18.44", "6.18.2"}, {"6.18.1", "6.18.2"}, {"5.10.20", "5.10.7"}, {"5.10.200", "5.10.262"}, {"6.12.100", "6.12.117"}, {"6.3.1", ""}, {"6.18", "6.18.2"},
	} {
		p := get(t, "ppoll", tc.v, nil)
		line := p.Edges[len(p.Edges)-1].Line
		if p.Tree != tc.tree || (line > 0) != (tc.tree != "") {
			t.Errorf("%s: lines of %q, want %q; the last call in line %d", tc.v, p.Tree, tc.tree, line)
		}
	}
}

func TestDefaultIsSound(t *testing.T) {
	if err := catalog.Default().Check(); err != nil {
		t.Error(err)
	}
}

func TestUnknownPath(t *testing.T) {
	_, err := catalog.Default().Path("eventfd_wright", version(t, "6.18"), nil)
	if err == nil || !strings.Contains(err.Error(), "eventfd_write") {
		t.Errorf("error is %v, want one with the names that exist", err)
	}
}

// TestPathsAreComplete: on every kernel each path has its texts, and each
// function on it a sentence.
func TestPathsAreComplete(t *testing.T) {
	c := catalog.Default()
	for _, n := range c.Names() {
		for _, tree := range c.Trees() {
			p, err := c.Path(n, tree.Version, nil)
			if err != nil {
				t.Fatal(err)
			}
			if p.Title == "" || p.Intro == "" {
				t.Errorf("%s: no title or no introduction", n)
			}
			for name, f := range p.Functions {
				if f.Text == "" {
					t.Errorf("%s %s: no sentence on %s", n, p.Kernel, name)
				}
			}
			for _, e := range p.Edges {
				if !e.Proved || e.Line == 0 {
					t.Errorf("%s %s: %s -> %s is not proved", n, p.Kernel, e.Caller, e.Callee)
				}
			}
		}
	}
}

// best is the shortest of some runs: what the code costs, without what else
// the machine does.
func best(n int, f func()) time.Duration {
	min := time.Hour
	for range n {
		start := time.Now()
		f()
		if d := time.Since(start); d < min {
			min = d
		}
	}
	return min
}

func TestCost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector slows it down")
	}
	testenv.RealSpeed(t)
	data := copyData(t, "", "", "")
	if d := best(50, func() {
		if _, err := catalog.Load(data); err != nil {
			t.Fatal(err)
		}
	}); d > 5*time.Millisecond {
		t.Errorf("loading takes %v, want under 5ms", d)
	}
	v := version(t, "6.18")
	c := catalog.Default()
	const n = 1000
	if d := best(20, func() {
		for range n {
			if _, err := c.Path("ppoll", v, nil); err != nil {
				t.Fatal(err)
			}
		}
	}); d > n*time.Microsecond {
		t.Errorf("a lookup takes %v, want under 1µs", d/n)
	}
	var size int64
	if err := fs.WalkDir(data, ".", func(_ string, d fs.DirEntry, err error) error {
		if info, e := d.Info(); e == nil && !d.IsDir() {
			size += info.Size()
		}
		return err
	}); err != nil || size > 900_000 {
		t.Errorf("the data has %d bytes, %v; want under 900000, so that code and data stay under 1 MB", size, err)
	}
}

func BenchmarkLoad(b *testing.B) {
	data := os.DirFS("data")
	for b.Loop() {
		if _, err := catalog.Load(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPath(b *testing.B) {
	v := version(b, "6.18")
	for b.Loop() {
		if _, err := catalog.Default().Path("ppoll", v, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestUnreviewed holds answers for some kernels against what is known of them.
func TestUnreviewed(t *testing.T) {
	for _, tc := range []struct {
		v, path, caller, callee string
		want                    bool
	}{
		{"5.7", "eventfd_read", "vfs_read", "__vfs_read", true},
		{"5.8", "eventfd_read", "vfs_read", "__vfs_read", false},
		{"5.7", "epoll_wake", "__wake_up_common", "autoremove_wake_function", true},
		{"5.6", "epoll_wake", "__wake_up_common", "default_wake_function", true},
		{"5.17", "epoll_wake", "__wake_up_common", "autoremove_wake_function", true},
		{"5.19", "epoll_wake", "__wake_up_common", "ep_autoremove_wake_function", true},
		{"5.17", "signal", "send_signal", "__send_signal", true},
		{"6.4", "eventfd_read", "eventfd_read", "wait_event_interruptible_locked_irq", true},
		{"6.4", "epoll_ctl", "do_epoll_ctl", "ep_remove_safe", true},
		{"6.4", "eventfd_write", "do_syscall_x64", "x64_sys_call", false},
		{"6.9", "eventfd_write", "do_syscall_x64", "x64_sys_call", true},
		{"6.9", "epoll_ioctl", "ep_eventpoll_ioctl", "ep_eventpoll_bp_ioctl", true},
		{"6.9", "pidfd", "do_notify_pidfd", "__wake_up", true},
		{"7.1", "epoll_wait", "ep_send_events", "ep_deliver_event", true},
		{"7.1", "epoll_ctl", "do_epoll_ctl", "do_epoll_ctl_file", false},
		{"7.2", "epoll_ctl", "do_epoll_ctl", "do_epoll_ctl_file", true},
		{"5.10.262", "epoll_wake", "__wake_up_common", "ep_autoremove_wake_function", true},
		{"6.1.192", "epoll_ctl", "do_epoll_ctl", "ep_remove", true},
	} {
		if got := has(get(t, tc.path, tc.v, nil), tc.caller, tc.callee); got != tc.want {
			t.Errorf("%s %s: %s -> %s is %v, want %v", tc.v, tc.path, tc.caller, tc.callee, got, tc.want)
		}
	}
}

// TestDoubtIsSaid: where only a bracket is known, the answer says so.
func TestDoubtIsSaid(t *testing.T) {
	for v, want := range map[string]string{
		"5.8":      "read_iter: 5.8 lies between 5.7 (without) and 5.9 (with), taken as with",
		"5.10.100": "",
	} {
		if got := get(t, "eventfd_read", v, nil).DecidedBy; !strings.Contains(got, want) {
			t.Errorf("%s: DecidedBy is %q, want %q in it", v, got, want)
		}
	}
	if got := get(t, "epoll_wake", "5.10.100", nil).DecidedBy; !strings.Contains(got, "5.10.100 lies between 5.10 (without) and 5.10.262 (with), taken as without") {
		t.Errorf("5.10.100: DecidedBy is %q", got)
	}
}
