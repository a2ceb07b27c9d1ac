//go:build linux

package ktext

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"github.com/efd-go/efd/internal/ktrace"
	"golang.org/x/sys/unix"
)

// chunk is how much one run of the BPF program reads.
const chunk = 1024

// bpfReader reads kernel memory with a BPF program that is attached to
// nothing: the kernel is asked to run it once for each reading
// (BPF_PROG_TEST_RUN of a raw tracepoint program, Linux 5.10). It copies from
// the address that it is given into a map of one element.
//
// What the kernel is given the address of lies on the heap, where it does not
// move.
type bpfReader struct {
	prog, table int
	args        [1]uint64
	key         uint32
	value       [chunk]byte
}

// insn is struct bpf_insn.
type insn struct {
	code uint8
	regs uint8 // dst in the low half, src in the high half
	off  int16
	imm  int32
}

const (
	helperMapLookup       = 1
	helperProbeReadKernel = 113
)

func regs(dst, src uint8) uint8 {
	if bigEndian {
		return dst<<4 | src
	}
	return src<<4 | dst
}

var bigEndian = func() bool { x := uint16(1); return *(*byte)(unsafe.Pointer(&x)) == 0 }()

// program reads chunk bytes from the address in its first argument into the
// element 0 of the map, and returns what the reading returned.
func program(table int) []insn {
	return []insn{
		{0x79, regs(6, 1), 0, 0},   // r6 = *(u64 *)(r1 + 0)
		{0x62, regs(10, 0), -4, 0}, // *(u32 *)(r10 - 4) = 0
		{0xbf, regs(2, 10), 0, 0},  // r2 = r10
		{0x07, regs(2, 0), 0, -4},  // r2 += -4
		{0x18, regs(1, unix.BPF_PSEUDO_MAP_FD), 0, int32(table)},
		{},
		{0x85, 0, 0, helperMapLookup},
		{0x15, regs(0, 0), 5, 0},     // if r0 == 0 goto end
		{0xbf, regs(1, 0), 0, 0},     // r1 = r0
		{0xb7, regs(2, 0), 0, chunk}, // r2 = chunk
		{0xbf, regs(3, 6), 0, 0},     // r3 = r6
		{0x85, 0, 0, helperProbeReadKernel},
		{0x95, 0, 0, 0}, // exit
		{0xb7, regs(0, 0), 0, -1},
		{0x95, 0, 0, 0},
	}
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	fd, _, e := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
	if e != 0 {
		return -1, e
	}
	return int(fd), nil
}

func openBPF() (*bpfReader, error) {
	mapAttr := struct{ kind, key, value, entries, flags uint32 }{unix.BPF_MAP_TYPE_ARRAY, 4, chunk, 1, 0}
	table, err := bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&mapAttr), unsafe.Sizeof(mapAttr))
	if err != nil {
		return nil, bpfError("BPF_MAP_CREATE", err)
	}
	code := program(table)
	progAttr := struct {
		kind, count    uint32
		insns, license uint64
		_              [3]uint32
		_              uint32
		version, flags uint32
	}{kind: unix.BPF_PROG_TYPE_RAW_TRACEPOINT, count: uint32(len(code)), insns: ptr(unsafe.Pointer(&code[0])), license: ptr(unsafe.Pointer(&license))}
	prog, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&progAttr), unsafe.Sizeof(progAttr))
	runtime.KeepAlive(code)
	if err != nil {
		unix.Close(table)
		return nil, bpfError("BPF_PROG_LOAD", err)
	}
	return &bpfReader{prog: prog, table: table}, nil
}

// license is one that the GPL can live with: the helper that reads kernel
// memory wants that.
var license = [...]byte{'D', 'u', 'a', 'l', ' ', 'M', 'I', 'T', '/', 'G', 'P', 'L', 0}

func ptr(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

func bpfError(call string, err error) error {
	e := &ktrace.AccessError{Tier: "text", Missing: "kernel text cannot be read: bpf " + call + ": " + err.Error(), Err: os.NewSyscallError("bpf "+call, err)}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Change = "run as root (CAP_BPF and CAP_PERFMON), with kernel lockdown not at confidentiality"
	case errors.Is(err, unix.ENOSYS):
		e.Change = "run a kernel with CONFIG_BPF_SYSCALL"
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.Errno(524)): // ENOTSUPP
		e.Change = "run Linux 5.10 or later with CONFIG_BPF_EVENTS, or one with /proc/kcore"
	}
	return e
}

func (b *bpfReader) read(p []byte, addr uint64) error {
	for len(p) > 0 {
		b.args[0] = addr
		run := struct {
			prog, ret, inSize, outSize uint32
			in, out                    uint64
			repeat, duration           uint32
			ctxInSize, ctxOutSize      uint32
			ctxIn, ctxOut              uint64
			flags, cpu                 uint32
		}{prog: uint32(b.prog), ctxInSize: 8, ctxIn: ptr(unsafe.Pointer(&b.args))}
		_, err := bpf(unix.BPF_PROG_TEST_RUN, unsafe.Pointer(&run), unsafe.Sizeof(run))
		if err != nil {
			return bpfError("BPF_PROG_TEST_RUN", err)
		}
		if int32(run.ret) != 0 {
			return os.NewSyscallError("bpf_probe_read_kernel", unix.EFAULT)
		}
		look := struct {
			table, _          uint32
			key, value, flags uint64
		}{table: uint32(b.table), key: ptr(unsafe.Pointer(&b.key)), value: ptr(unsafe.Pointer(&b.value))}
		_, err = bpf(unix.BPF_MAP_LOOKUP_ELEM, unsafe.Pointer(&look), unsafe.Sizeof(look))
		runtime.KeepAlive(b)
		if err != nil {
			return bpfError("BPF_MAP_LOOKUP_ELEM", err)
		}
		n := copy(p, b.value[:])
		p, addr = p[n:], addr+uint64(n)
	}
	return nil
}

func (b *bpfReader) close() error { return errors.Join(unix.Close(b.prog), unix.Close(b.table)) }

func (b *bpfReader) name() string { return "kernel text, read by BPF" }
