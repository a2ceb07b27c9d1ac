//go:build linux

package ksym

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/rights"
)

// Load reads the running kernel's symbols. If the kernel hides the
// addresses it returns a table of names and an *ktrace.AccessError.
func Load() (*Table, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	if err := ofKernel(f); err != nil {
		return nil, err
	}
	t, err := Parse(f)
	if err != nil {
		return nil, &ktrace.AccessError{Tier: "kallsyms", Missing: "/proc/kallsyms cannot be used: " + err.Error(), Err: err}
	}
	if t.hidden {
		return t, hiddenError()
	}
	return t, nil
}

const procMagic = 0x9fa0 // PROC_SUPER_MAGIC of linux/magic.h

// ofKernel reports a file that lies over the kernel's own, such as that of
// another kernel in a container.
func ofKernel(f *os.File) error {
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &fs); err != nil || fs.Type == procMagic {
		return nil
	}
	return &ktrace.AccessError{
		Tier: "kallsyms", Missing: "/proc/kallsyms is not the kernel's: another file is mounted over it",
		Change: "umount /proc/kallsyms, or mount a /proc of its own",
	}
}

// ErrHidden is wrapped by the error of Load if all addresses are zero.
var ErrHidden error = hidden{}

// hidden is a type, since a wrapping error would be made when a program starts,
// also in one that uses handles alone.
type hidden struct{}

func (hidden) Error() string { return "all addresses in /proc/kallsyms are zero" }
func (hidden) Unwrap() error { return os.ErrPermission }

// Missing is why a table has no addresses, nil if it has. The table may be nil.
func Missing(t *Table) *ktrace.AccessError {
	switch {
	case t == nil:
		_, err := os.Stat("/proc/kallsyms")
		return unreadable(err)
	case t.hidden:
		return hiddenError()
	}
	return nil
}

// unreadable says that there is no table at all. err may be nil.
func unreadable(err error) *ktrace.AccessError {
	e := &ktrace.AccessError{Tier: "kallsyms", Missing: "kernel symbols cannot be read", Change: "run a kernel with CONFIG_KALLSYMS", Err: err}
	if err != nil {
		e.Missing += ": " + err.Error()
	}
	if _, err := os.Stat("/proc/self"); err != nil {
		e.Change = "mount /proc"
	}
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		e.Missing, e.Change = "too many open files for the kernel's symbols", "raise the limit of open files (ulimit -n)"
	}
	return e
}

func hiddenError() *ktrace.AccessError {
	change := "give the process CAP_SYSLOG, or as root set kernel.kptr_restrict to 0 and kernel.perf_event_paranoid to 1"
	root := true
	restrict, err := os.ReadFile("/proc/sys/kernel/kptr_restrict")
	if level := string(bytes.TrimSpace(restrict)); err == nil {
		switch level {
		case "1":
			change = "give the process CAP_SYSLOG (kernel.kptr_restrict is 1)"
		case "2":
			change, root = "as root set kernel.kptr_restrict to 1 (it is 2, which hides them from root too)", false
		}
	}
	if rights.Of().UserNamespace {
		change, root = "run in the initial user namespace, as root or with CAP_SYSLOG", false
	}
	return &ktrace.AccessError{
		Tier: "kallsyms", Missing: "the kernel hides its symbol addresses from this process",
		Change: change, Root: root, Err: ErrHidden,
	}
}

// Parse reads symbols in the form of /proc/kallsyms. Lines of data symbols are
// skipped; a line of another form is an error.
func Parse(r io.Reader) (*Table, error) {
	p := parser{t: &Table{
		names: make([]byte, 0, 4<<20), syms: make([]symbol, 0, 1<<17),
		mods: []string{""}, modsIndex: map[string]uint16{"": 0},
	}, sorted: true, zero: true}
	if err := p.run(r); err != nil {
		return nil, err
	}
	t := p.t
	if len(t.syms) == 0 {
		return nil, errors.New("no function symbols in it")
	}
	t.hidden = p.zero
	// Room was made for the largest kernels, and a table lives long.
	t.names, t.syms = bytes.Clone(t.names), slices.Clone(t.syms)
	if !p.sorted && !t.hidden {
		slices.SortStableFunc(t.syms, func(a, b symbol) int {
			switch {
			case a.addr < b.addr:
				return -1
			case a.addr > b.addr:
				return 1
			}
			return 0
		})
	}
	return t, nil
}

type parser struct {
	t      *Table
	last   uint64
	line   int
	sorted bool
	zero   bool
}

// run parses while the next part is being read: the kernel takes as long to
// print its symbols as all the rest of this.
func (p *parser) run(r io.Reader) error {
	type part struct {
		b   []byte
		err error
	}
	parts := make(chan part, 1)
	spare := make(chan []byte, 3) // the buffers go round
	for range cap(spare) {
		spare <- make([]byte, 256<<10)
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(parts)
		for {
			var b []byte
			select {
			case b = <-spare:
			case <-stop:
				return
			}
			n, err := io.ReadFull(r, b)
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = io.EOF
			}
			select {
			case parts <- part{b[:n], err}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var rest []byte
	for c := range parts {
		b := c.b
		if len(rest) > 0 {
			// Complete the line that the part before ended in.
			nl := bytes.IndexByte(b, '\n')
			if nl < 0 {
				nl = len(b) - 1
			}
			rest = append(rest, b[:nl+1]...)
			b = b[nl+1:]
			if len(rest) > 64<<10 {
				return fmt.Errorf("line %d: longer than a symbol can be", p.line+1)
			}
			if rest[len(rest)-1] == '\n' {
				if err := p.parse(rest); err != nil {
					return err
				}
				rest = rest[:0]
			}
		}
		if nl := bytes.LastIndexByte(b, '\n'); nl >= 0 {
			if err := p.parse(b[:nl+1]); err != nil {
				return err
			}
			b = b[nl+1:]
		}
		rest = append(rest, b...)
		spare <- c.b[:cap(c.b)]
		if c.err == io.EOF {
			break
		}
		if c.err != nil {
			return c.err
		}
	}
	if len(rest) > 0 {
		return p.parse(append(rest, '\n'))
	}
	return nil
}

// parse takes whole lines.
func (p *parser) parse(b []byte) error {
	for len(b) > 0 {
		nl := bytes.IndexByte(b, '\n')
		line := b[:nl]
		b = b[nl+1:]
		p.line++
		if err := p.symbol(line); err != nil {
			return fmt.Errorf("line %d: %w", p.line, err)
		}
	}
	return nil
}

var errForm = errors.New(`not of the form "ADDRESS TYPE NAME [MODULE]"`)

func (p *parser) symbol(line []byte) error {
	var addr uint64
	i := 0
	for ; i < len(line) && line[i] != ' '; i++ {
		var d byte
		switch c := line[i]; {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		default:
			return errForm
		}
		addr = addr<<4 | uint64(d)
	}
	if i == 0 || i > 16 || len(line) < i+4 || line[i+2] != ' ' {
		return errForm
	}
	switch line[i+1] {
	case 't', 'T', 'w', 'W', 'i':
	default:
		return nil
	}
	name, mod := line[i+3:], []byte(nil)
	if tab := bytes.IndexByte(name, '\t'); tab >= 0 {
		name, mod = name[:tab], bytes.Trim(name[tab+1:], "[]")
	}
	if len(name) == 0 || len(name) > 1<<15 {
		return errForm
	}
	if bytes.HasPrefix(name, []byte("__pfx_")) {
		return nil // padding before a function
	}
	t := p.t
	m, ok := t.modsIndex[string(mod)]
	if !ok {
		if len(t.mods) == 1<<16 {
			return errors.New("more modules than a kernel can have")
		}
		m = uint16(len(t.mods))
		t.mods = append(t.mods, string(mod))
		t.modsIndex[string(mod)] = m
	}
	p.sorted = p.sorted && addr >= p.last
	p.zero = p.zero && addr == 0
	p.last = addr
	t.syms = append(t.syms, symbol{addr: addr, name: uint32(len(t.names)), size: uint16(len(name)), mod: m})
	t.names = append(t.names, name...)
	return nil
}
