//go:build linux

package perf

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one CPU's buffer, shared with the kernel. The kernel moves head, the
// reader moves tail; the bytes between belong to the reader.
type ring struct {
	at   place
	fd   int // the event that the ring was made with
	mem  []byte
	page *unix.PerfEventMmapPage
	data []byte
	mask uint64

	scratch []byte // a record that wraps around the end, in one piece
}

// mapRing maps a ring of size bytes for the event fd.
func mapRing(fd int, at place, size int) (*ring, error) {
	pageSize := os.Getpagesize()
	mem, err := unix.Mmap(fd, 0, pageSize+size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap of a perf ring", err)
	}
	return &ring{
		at: at, fd: fd, mem: mem,
		page: (*unix.PerfEventMmapPage)(unsafe.Pointer(&mem[0])),
		data: mem[pageSize:], mask: uint64(size - 1),
	}, nil
}

func (r *ring) unmap() error {
	if r.mem == nil {
		return nil
	}
	err := unix.Munmap(r.mem)
	r.mem, r.page, r.data = nil, nil, nil
	return err
}

// each hands at most n complete records to fn, header included, and then gives
// the space back to the kernel. The bytes are valid during the call only. fill
// is how many bytes were in the ring, rest how many are left.
func (r *ring) each(n int, fn func(rec []byte)) (fill, rest int) {
	head := atomic.LoadUint64(&r.page.Data_head)
	tail := atomic.LoadUint64(&r.page.Data_tail)
	fill = int(head - tail)
	for ; tail < head && n > 0; n-- {
		at := tail & r.mask
		size := uint64(*(*uint16)(unsafe.Pointer(&r.data[at+6])))
		if size < 8 || size > head-tail {
			// The kernel never writes this; later records cannot be found.
			tail = head
			break
		}
		if end := at + size; end <= uint64(len(r.data)) {
			fn(r.data[at:end])
		} else {
			r.scratch = append(r.scratch[:0], r.data[at:]...)
			r.scratch = append(r.scratch, r.data[:end-uint64(len(r.data))]...)
			fn(r.scratch)
		}
		tail += size
	}
	atomic.StoreUint64(&r.page.Data_tail, tail)
	return fill, int(head - tail)
}
