//go:build linux

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/efd-go/efd/internal/adversary/input"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// fits reports a command that took more memory than it may.
func (a *attack) fits(what string, o outcome) {
	for most := a.most.Load(); o.memory > most && !a.most.CompareAndSwap(most, o.memory); most = a.most.Load() {
	}
	if o.memory > maxMemory {
		a.broke(what, o, "more than %d MB", maxMemory>>10)
	}
}

// bombs are read in the forms that keep least and most.
func (a *attack) bombs() {
	for i, b := range input.Bombs() {
		if a.short && i%4 != 0 {
			continue
		}
		name := filepath.Join(a.dir, "bomb")
		f, err := os.Create(name)
		if err != nil {
			a.fatal(err)
		}
		z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
		w := bufio.NewWriter(z)
		command, forms := "replay", []string{"text", "trace-event"}
		if b.Log {
			w.Reset(f)
			command, forms = "explain", []string{"text", "html"}
		}
		b.Write(w)
		w.Flush()
		if !b.Log {
			z.Close()
		}
		f.Close()
		for _, form := range forms {
			what := fmt.Sprintf("%s -format %s of bomb %q", command, form, b.Name)
			o := a.run(120*time.Second, a.command(nil, command, "-format", form, "-o", os.DevNull, name))
			if a.sane(what, o, 0, 1, 3) {
				a.fits(what, o)
			}
		}
	}
}

// recordings are good ones: of this kernel if it can be observed, else of the
// tree's.
func (a *attack) recordings() (all [][]byte) {
	own := filepath.Join(a.dir, "own.rec")
	a.run(60*time.Second, a.command(nil, "verify", "-o", own, "ppoll", "epoll_wait"))
	names, _ := filepath.Glob("testdata/recordings/*/*.gz")
	for _, n := range append(names, own) {
		b, err := os.ReadFile(n)
		if z, zerr := gzip.NewReader(bytes.NewReader(b)); err == nil && zerr == nil {
			var plain bytes.Buffer
			if _, err := plain.ReadFrom(z); err != nil {
				continue
			}
			b = plain.Bytes()
		}
		if len(b) > 0 && len(b) < 2<<20 {
			all = append(all, b)
		}
	}
	return all
}

// mutants are damaged copies of files.
func (a *attack) mutants(seed uint64, n int) {
	recordings := a.recordings()
	var wg sync.WaitGroup
	workers := runtime.NumCPU()
	for w := range workers {
		wg.Go(func() {
			m := &mutator{a, rand.New(rand.NewPCG(seed, uint64(w))), filepath.Join(a.dir, fmt.Sprint("mutants", w)), recordings}
			if err := os.Mkdir(m.dir, 0o700); err != nil {
				a.fatal(err)
			}
			for i := w; i < n; i += workers {
				switch {
				case i%20 < 12 && len(recordings) > 0:
					m.recording(i)
				case i%20 < 17:
					m.log(i)
				default:
					m.catalogue(i)
				}
			}
		})
	}
	wg.Wait()
}

type mutator struct {
	*attack
	r          *rand.Rand
	dir        string
	recordings [][]byte
}

func pick[T any](r *rand.Rand, s ...T) T { return s[r.IntN(len(s))] }

func (m *mutator) file(b []byte) string {
	name := filepath.Join(m.dir, "file")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		m.fatal(err)
	}
	return name
}

// read runs a command on a mutant, and reports an escape in its text.
func (m *mutator) read(what string, escapes bool, statuses []int, args ...string) {
	o := m.run(60*time.Second, m.command(nil, args...))
	if !m.sane(what, o, statuses...) {
		return
	}
	m.fits(what, o)
	if !escapes && strings.ContainsAny(o.stdout+o.stderr, "\x1b\u202e") {
		m.broke(what, o, "an escape")
	}
}

func (m *mutator) recording(i int) {
	form := pick(m.r, "text", "text", "jsonl", "trace-event", "folded", "html")
	name := m.file(input.Mutate(m.r, pick(m.r, m.recordings...)))
	m.read(fmt.Sprintf("replay -format %s of mutant %d", form, i), form != "text" && form != "folded", []int{0, 1, 3}, "replay", "-format", form, name)
}

func (m *mutator) log(i int) {
	form := pick(m.r, "text", "jsonl", "trace-event", "folded", "html")
	name := m.file(input.Mutate(m.r, input.Log(m.r)))
	m.read(fmt.Sprintf("explain -format %s of mutant %d", form, i), form != "folded", []int{0, 3}, "explain", "-format", form, name)
}

func (m *mutator) catalogue(i int) {
	dir := filepath.Join(m.dir, "catalogue")
	os.RemoveAll(dir)
	if err := os.CopyFS(dir, catalog.Data()); err != nil {
		m.fatal(err)
	}
	var names []string
	filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".txt") {
			names = append(names, name)
		}
		return nil
	})
	for range pick(m.r, 1, 1, 3) {
		name := pick(m.r, names...)
		b, err := os.ReadFile(name)
		if err != nil {
			m.fatal(err)
		}
		os.Chmod(name, 0o600)
		if err := os.WriteFile(name, input.Mutate(m.r, b), 0o600); err != nil {
			m.fatal(err)
		}
	}
	args := pick(m.r, []string{"-list"}, []string{"ppoll"}, []string{"-json", "epoll_wait", "eventfd_write"}, []string{"-diff", "4.19..6.12", "ppoll"})
	m.read(fmt.Sprintf("path %v of catalogue %d", args, i), false, []int{0, 1, 2, 3}, append([]string{"path", "-catalog", dir}, args...)...)
}
