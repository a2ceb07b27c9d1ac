//go:build linux

package efd_test

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// fuseFS is a FUSE file system with one file, "file", that is always readable.
// See linux/fuse.h.
type fuseFS struct {
	dev, mount     int
	polls, flushes atomic.Int32
}

func newFUSE() (*fuseFS, error) {
	dev, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/fuse: %w", err)
	}
	mount, err := detachedMount("fuse", map[string]string{
		"fd": strconv.Itoa(dev), "rootmode": "40000", "user_id": "0", "group_id": "0",
	})
	if err != nil {
		unix.Close(dev)
		return nil, err
	}
	return &fuseFS{dev: dev, mount: mount}, nil
}

func (f *fuseFS) close() {
	unix.Close(f.mount)
	unix.Close(f.dev)
}

// serve answers requests until the file system is gone.
func (f *fuseFS) serve() {
	const (
		lookup, forget, getattr, open, release = 1, 2, 3, 14, 18
		flush, initialize, interrupt, poll     = 25, 26, 36, 40
		batchForget                            = 42
	)
	ne := binary.NativeEndian
	buf := make([]byte, 1<<17)
	for {
		n, err := unix.Read(f.dev, buf)
		if err == unix.EINTR || err == unix.EAGAIN || err == unix.ENOENT {
			continue
		}
		if err != nil || n < 40 {
			return
		}
		opcode, unique, node := ne.Uint32(buf[4:]), ne.Uint64(buf[8:]), ne.Uint64(buf[16:])
		var body []byte
		errno := unix.Errno(0)
		switch opcode {
		case initialize:
			body = make([]byte, 64)
			ne.PutUint32(body, 7) // version 7.31
			ne.PutUint32(body[4:], 31)
			ne.PutUint32(body[20:], 1<<16) // max_write
		case lookup:
			body = make([]byte, 40, 40+88)
			ne.PutUint64(body, 2)
			body = append(body, fuseAttr(2)...)
		case getattr:
			body = append(make([]byte, 16), fuseAttr(node)...)
		case open:
			body = make([]byte, 16)
		case poll:
			f.polls.Add(1)
			body = make([]byte, 8)
			ne.PutUint32(body, unix.POLLIN)
		case flush, release:
		case forget, interrupt, batchForget:
			continue // no answer
		default:
			errno = unix.ENOSYS
		}
		out := make([]byte, 16, 16+len(body))
		ne.PutUint32(out, uint32(16+len(body)))
		ne.PutUint32(out[4:], uint32(-int32(errno)))
		ne.PutUint64(out[8:], unique)
		unix.Write(f.dev, append(out, body...))
		if opcode == flush { // and the answer is there
			f.flushes.Add(1)
		}
	}
}

// fuseAttr is struct fuse_attr of the root, node 1, or of the file.
func fuseAttr(node uint64) []byte {
	mode := uint32(unix.S_IFREG | 0o644)
	if node == 1 {
		mode = unix.S_IFDIR | 0o755
	}
	attr := make([]byte, 88)
	binary.NativeEndian.PutUint64(attr, node)
	binary.NativeEndian.PutUint32(attr[60:], mode)
	binary.NativeEndian.PutUint32(attr[64:], 1) // links
	return attr
}
