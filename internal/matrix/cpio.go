//go:build linux

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// cpioWriter writes an archive in the kernel's "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst). The kernel
// takes several concatenated archives.
type cpioWriter struct {
	w    io.Writer
	ino  int
	dirs map[string]bool
	err  error
}

func newCpio(w io.Writer) *cpioWriter { return &cpioWriter{w: w, dirs: map[string]bool{}} }

// entry writes one entry's header and name; data follows by body.
func (c *cpioWriter) entry(name string, mode uint32, size int64, major, minor int) {
	c.ino++
	nlink := 1
	if mode&0o170000 == 0o040000 {
		nlink = 2
	}
	c.printf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.ino, mode, 0, 0, nlink, 0, size, 0, 0, major, minor, len(name)+1, 0, name)
	c.pad(110 + len(name) + 1)
}

func (c *cpioWriter) printf(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.w, format, args...)
	}
}

// pad fills up to the next multiple of four.
func (c *cpioWriter) pad(n int) {
	if c.err == nil && n%4 != 0 {
		_, c.err = c.w.Write(make([]byte, 4-n%4))
	}
}

// dir makes a directory and those above it, once each.
func (c *cpioWriter) dir(name string) {
	if name == "." || name == "" || c.dirs[name] {
		return
	}
	c.dir(path.Dir(name))
	c.dirs[name] = true
	mode := uint32(0o040755)
	if name == "tmp" {
		mode = 0o041777
	}
	c.entry(name, mode, 0, 0, 0)
}

// bytes adds a file with the given content.
func (c *cpioWriter) bytes(name string, perm uint32, data []byte) {
	c.dir(path.Dir(name))
	c.entry(name, 0o100000|perm, int64(len(data)), 0, 0)
	if c.err == nil {
		_, c.err = c.w.Write(data)
	}
	c.pad(len(data))
}

// char adds a character device.
func (c *cpioWriter) char(name string, perm uint32, major, minor int) {
	c.dir(path.Dir(name))
	c.entry(name, 0o020000|perm, 0, major, minor)
}

// file adds a copy of the host's file.
func (c *cpioWriter) file(name, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	c.bytes(name, 0o644|uint32(fi.Mode().Perm()&0o111), data)
	return c.err
}

// tree adds all regular files below the host's directory from.
func (c *cpioWriter) tree(name, from string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(p, from), string(filepath.Separator))
		return c.file(path.Join(name, filepath.ToSlash(rel)), p)
	})
}

// close writes the trailer and fills up to 512 bytes, where the next archive may begin.
func (c *cpioWriter) close() error {
	c.ino = -1
	c.entry("TRAILER!!!", 0, 0, 0, 0)
	return c.err
}
