//go:build linux

package ktext

import (
	"debug/elf"
	"errors"
	"os"

	"github.com/efd-go/efd/internal/ktrace"
)

// kcore reads the kernel's memory from /proc/kcore.
type kcore struct {
	f    *os.File
	segs []elf.ProgHeader
}

func openKcore() (*kcore, error) {
	f, err := os.Open("/proc/kcore")
	if err != nil {
		change := "run as root (CAP_SYS_RAWIO)"
		if errors.Is(err, os.ErrNotExist) {
			change = "run a kernel with CONFIG_PROC_KCORE"
		}
		return nil, &ktrace.AccessError{Tier: "text", Missing: "kernel text cannot be read: " + err.Error(), Change: change, Err: err}
	}
	e, err := elf.NewFile(f)
	if err != nil {
		f.Close()
		return nil, &ktrace.AccessError{Tier: "text", Missing: "/proc/kcore is no core file: " + err.Error(), Err: err}
	}
	k := &kcore{f: f}
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD {
			k.segs = append(k.segs, p.ProgHeader)
		}
	}
	return k, nil
}

func (k *kcore) read(p []byte, addr uint64) error {
	for _, s := range k.segs {
		if addr >= s.Vaddr && addr+uint64(len(p)) <= s.Vaddr+s.Memsz {
			_, err := k.f.ReadAt(p, int64(s.Off+addr-s.Vaddr))
			return err
		}
	}
	return errors.New("address is not in /proc/kcore")
}

func (k *kcore) close() error { return k.f.Close() }

func (k *kcore) name() string { return "kernel text, read from /proc/kcore" }
