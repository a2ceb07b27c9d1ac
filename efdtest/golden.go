//go:build linux

package efdtest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// update has Golden write its file.
var update = flag.Bool("efdtest.update", false, "write the golden files of efdtest's K.Golden")

// wakes begins the text of a wake in a golden file.
const wakes = "… wakes "

// Golden compares the test's timeline with testdata/NAME.golden: the calls of its
// threads and acts, and those of its goroutines that took something, in the order
// of each, and each wake of a thread
// that Asleep had found asleep, after its cause. It has names, and neither numbers
// nor times. Concurrent lines are in the order of their names, so that the file is
// the same on every run. It first waits for the threads to sleep or return.
//
// go test -efdtest.update writes the file. Without kernel evidence the wakes are
// left out on both sides.
func (k *K) Golden(name string) {
	k.Helper()
	if strings.ContainsAny(name, "/\\\x00") || name == "" || strings.HasPrefix(name, ".") {
		k.fatal("Golden %q: want the name of a file in testdata, without .golden", name)
		return
	}
	k.count(k.evidence != Kernel)
	if f := k.settle(); f != nil {
		k.report(f)
		return
	}
	if k.evidence == Kernel && !k.sync(mono()) {
		return
	}
	got := k.timeline()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		k.write(path, got)
		return
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		k.fatal("Golden: there is no %s: go test -run '%s' -efdtest.update writes it", path, pattern(k.TB.Name()))
		return
	case err != nil:
		k.fatal("Golden: %v", err)
		return
	}
	wanted := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	if k.evidence != Kernel {
		noWakes := func(line string) bool { return strings.Contains(line, wakes) }
		wanted, got = slices.DeleteFunc(wanted, noWakes), slices.DeleteFunc(got, noWakes)
	}
	if slices.Equal(wanted, got) {
		return
	}
	f := &finding{head: fmt.Sprintf("the timeline differs from %s (- wanted, + got)", path),
		detail: strings.Join(difference(wanted, got), "\n") + "\n"}
	if n := k.lostSince(); n > 0 {
		f.doubt = plural(n, "record was lost", "records were lost") + ", and the timeline differs from " + path
	}
	k.report(f)
}

func (k *K) write(path string, lines []string) {
	k.Helper()
	if k.evidence != Kernel {
		k.fatal("Golden: -efdtest.update needs kernel evidence, for the wakes: %s", k.why)
		return
	}
	if n := k.lostSince(); n > 0 {
		k.fatal("Golden: %s: not written, since %s", path, plural(n, "record was lost", "records were lost"))
		return
	}
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o666)
	}
	if err != nil {
		k.fatal("Golden: %v", err)
		return
	}
	k.TB.Logf("Golden: wrote %s", path)
}

// settle waits until each thread sleeps or has returned, so that the timeline
// has an end.
func (k *K) settle() *finding {
	k.mu.Lock()
	threads, goroutines := slices.Clone(k.threads), slices.Clone(k.goroutines)
	k.mu.Unlock()
	busy := ""
	look2 := func() (states []sleep) {
		for _, th := range threads {
			if th.process || th.finished() {
				states = append(states, sleep{})
				continue
			}
			s, err := look(th.pid, th.tid)
			if err != nil || !s.sleeps() && !th.finished() {
				busy = th.name
				return nil
			}
			states = append(states, s)
		}
		for _, g := range goroutines {
			if p := dump(g.id); !g.finished() && !p.waiting() {
				busy = g.name
				return nil
			}
			states = append(states, sleep{nr: len(g.calls())})
		}
		return states
	}
	if k.until(patience, func() bool {
		a := look2()
		return len(a) == len(threads)+len(goroutines) && slices.Equal(a, look2())
	}) {
		return nil
	}
	return &finding{fatal: true,
		head: fmt.Sprintf("Golden: the timeline has no end yet: %s neither sleeps nor has returned", busy)}
}

// difference marks the lines of two texts, by their longest common part.
func difference(a, b []string) (out []string) {
	n, m := len(a), len(b)
	common := make([][]int, n+1)
	for i := range common {
		common[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case j >= m || i < n && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}
