//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// place is a name in a directory that is open. It is found without a symbolic
// link of another user: whoever may write in a directory on the way could have
// root write where the link leads.
type place struct {
	dir    *os.File
	base   string
	exists bool
	magic  bool // a link of /proc to an open file, which the kernel alone can follow

	dev, ino  uint64
	mode      uint32 // the type: S_IFREG, S_IFIFO
	perm, uid uint32
}

// maxLinks is how many symbolic links the kernel follows in one name.
const maxLinks = 40

var errForeignLink = errors.New("is a symbolic link of another user, and is not followed")

// resolve finds the place that a name stands for.
func resolve(name string) (*place, error) {
	if name == "" {
		return nil, unix.ENOENT
	}
	dir, err := openDir(unix.AT_FDCWD, beginning(name))
	if err != nil {
		return nil, err
	}
	rest, links := split(name), 0
	for {
		if len(rest) == 0 {
			unix.Close(dir)
			return nil, unix.EISDIR
		}
		head, last := rest[0], len(rest) == 1
		var st unix.Stat_t
		err := unix.Fstatat(dir, head, &st, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case err == unix.ENOENT && last:
			return placeIn(dir, head, nil), nil
		case err != nil:
			unix.Close(dir)
			return nil, err
		case st.Mode&unix.S_IFMT == unix.S_IFLNK && !inProc(dir):
			var to string
			if to, err = follow(dir, head, &st); err == nil && links >= maxLinks {
				err = unix.ELOOP
			}
			if err != nil {
				unix.Close(dir)
				return nil, err
			}
			links++
			rest = append(split(to), rest[1:]...)
			if strings.HasPrefix(to, "/") {
				unix.Close(dir)
				if dir, err = openDir(unix.AT_FDCWD, "/"); err != nil {
					return nil, err
				}
			}
			continue
		case last:
			return found(dir, head, &st)
		}
		next, err := openDir(dir, head)
		unix.Close(dir)
		if err != nil {
			return nil, err
		}
		dir, rest = next, rest[1:]
	}
}

// beginning is the directory that a name begins in.
func beginning(name string) string {
	if strings.HasPrefix(name, "/") {
		return "/"
	}
	return "."
}

// split is a name's elements. One that ends in a slash is a directory's.
func split(name string) []string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	if strings.HasSuffix(name, "/") && len(parts) > 0 {
		parts = append(parts, ".")
	}
	return parts
}

func openDir(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// inProc reports whether a directory is one of /proc, whose links are the
// kernel's own.
func inProc(dir int) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(dir, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

// follow reads a symbolic link of the caller's or root's.
func follow(dir int, name string, st *unix.Stat_t) (string, error) {
	if foreign(st.Uid) {
		return "", fmt.Errorf("%s %w (uid %d)", name, errForeignLink, st.Uid)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	return string(buf[:max(n, 0)]), err
}

// foreign reports whether a user is another than the caller and root.
func foreign(uid uint32) bool { return uid != 0 && uid != uint32(os.Geteuid()) }

// found is the place of something that exists.
func found(dir int, base string, st *unix.Stat_t) (*place, error) {
	p := placeIn(dir, base, st)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK { // of /proc
		p.magic = true
		if err := unix.Fstatat(dir, base, st, 0); err != nil {
			p.dir.Close()
			return nil, err
		}
		p.of(st)
	}
	if p.mode == unix.S_IFDIR {
		p.dir.Close()
		return nil, unix.EISDIR
	}
	return p, nil
}

func placeIn(dir int, base string, st *unix.Stat_t) *place {
	p := &place{dir: os.NewFile(uintptr(dir), "directory"), base: base}
	if st != nil {
		p.exists = true
		p.of(st)
	}
	return p
}

func (p *place) of(st *unix.Stat_t) {
	p.dev, p.ino = uint64(st.Dev), st.Ino
	p.mode, p.perm, p.uid = st.Mode&unix.S_IFMT, st.Mode&0o777, st.Uid
}

// same reports whether the place is the file of st.
func (p *place) same(st *syscall.Stat_t) bool { return p.dev == uint64(st.Dev) && p.ino == st.Ino }

// outMode is the mode of files that -o creates: names and arguments of programs
// are private.
const outMode = 0o600

func (p *place) open(flags int) (*os.File, error) {
	fd, err := unix.Openat(int(p.dir.Fd()), p.base, flags|unix.O_CLOEXEC|unix.O_NOCTTY, outMode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p.base), nil
}

// readerLimit is how long a FIFO may have no reader.
const readerLimit = 10 * time.Second

// openFIFO opens a FIFO once it has a reader. waiting is
// called if that takes long.
func (p *place) openFIFO(ctx context.Context, waiting func()) (*os.File, error) {
	var dir unix.Stat_t
	if err := unix.Fstat(int(p.dir.Fd()), &dir); err != nil {
		return nil, err
	}
	if foreign(p.uid) && dir.Mode&unix.S_ISVTX != 0 && dir.Mode&0o022 != 0 {
		return nil, fmt.Errorf("is a FIFO of another user (uid %d) in a directory that everybody may write in", p.uid)
	}
	limit, cancel := context.WithTimeout(ctx, readerLimit)
	defer cancel()
	say := time.AfterFunc(200*time.Millisecond, waiting)
	defer say.Stop()
	for {
		f, err := p.open(unix.O_WRONLY | unix.O_NONBLOCK | unix.O_NOFOLLOW)
		if err != unix.ENXIO {
			return f, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-limit.Done():
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fmt.Errorf("nobody opened the FIFO for reading within %v", readerLimit)
		}
	}
}
