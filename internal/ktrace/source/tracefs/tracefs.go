//go:build linux

// Package tracefs reaches the kernel's tracing file system. If it is
// mounted, the mount is used. If it is not, root gets a detached mount of
// its own, which no other process sees and which ends with its descriptor.
package tracefs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/rights"
	"golang.org/x/sys/unix"
)

// FS is an open tracefs. Paths are relative to its root.
type FS struct {
	dir int
	how string
}

// How says how it was reached: "mounted at …" or "detached mount".
func (fs *FS) How() string { return fs.how }

// Open reaches tracefs. Its error is an *ktrace.AccessError.
func Open() (*FS, error) {
	fs, at, err := openMounted()
	if fs != nil {
		return fs, nil
	}
	fs, derr := openDetached()
	if derr == nil {
		return fs, nil
	}
	if err == nil {
		err = derr
	}
	return nil, accessError(at, err, derr)
}

// accessError is the error for a tracefs that is mounted at a path and refused
// with err, or "", and is not to be mounted aside.
func accessError(at string, err, detached error) error {
	e := &ktrace.AccessError{Tier: "tracefs", Missing: "tracefs is out of reach: " + err.Error(), Err: err}
	switch both := errors.Join(err, detached); {
	case errors.Is(both, unix.EMFILE), errors.Is(both, unix.ENFILE):
		e.Missing, e.Change = "too many open files for tracefs", "raise the limit of open files (ulimit -n)"
	case errors.Is(detached, unix.ENODEV):
		e.Missing, e.Change = "this kernel has no tracefs", "run a kernel with CONFIG_EVENT_TRACING"
	case errors.Is(detached, unix.ENOSYS) && rights.Filtered():
		e.Missing += ", and a seccomp filter may hide fsopen(2), with which it is mounted aside"
		e.Change = "allow fsopen, fsconfig and fsmount in the seccomp profile of the container or service, or have root mount tracefs at /sys/kernel/tracing"
	case rights.Of().UserNamespace:
		e.Change = "run in the initial user namespace, as root or where root has made a mounted tracefs readable"
	case errors.Is(detached, unix.ENOSYS):
		e.Change = "mount tracefs at /sys/kernel/tracing, since this kernel is older than 5.2 and has no detached mounts"
	case errors.Is(detached, unix.EACCES) && rights.Of().Has(unix.CAP_SYS_ADMIN):
		e.Root = true
		e.Change = "run as root, or give the process CAP_DAC_READ_SEARCH: CAP_SYS_ADMIN mounts tracefs, and its files are root's"
	default:
		e.Root = true
		e.Change = "run as root (CAP_SYS_ADMIN in the initial user namespace), or have root mount a tracefs that can be read (mount -t tracefs -o mode=750,gid=GROUP tracefs /sys/kernel/tracing)"
		if at != "" {
			e.Change = "run as root (CAP_SYS_ADMIN in the initial user namespace), or have root make the mounted tracefs readable (mount -o remount,mode=750,gid=GROUP " + at + ")"
		}
	}
	return e
}

// openMounted looks for a mount in the mount table. It does not try the usual
// paths: looking into /sys/kernel/debug/tracing would make the kernel mount
// tracefs there, for everybody to see. at is a mount that cannot be read.
func openMounted() (fs *FS, at string, err error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, "", err
	}
	for _, path := range mountPoints(table) {
		fd, e := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if e == nil {
			// The mount is of use only if its files can be read.
			if e = unix.Faccessat(fd, "events/sched/sched_waking/id", unix.R_OK, 0); e == nil {
				return &FS{dir: fd, how: "mounted at " + path}, "", nil
			}
			unix.Close(fd)
		}
		at, err = path, &os.PathError{Op: "open", Path: path, Err: e}
	}
	return nil, at, err
}

// mountPoints returns where tracefs is mounted, from a mountinfo table.
func mountPoints(table []byte) []string {
	var paths []string
	for line := range bytes.Lines(table) {
		before, after, ok := strings.Cut(string(line), " - ")
		fields := strings.Fields(before)
		if fstype, _, _ := strings.Cut(after, " "); ok && fstype == "tracefs" && len(fields) > 4 && fields[3] == "/" {
			paths = append(paths, unescape(fields[4]))
		}
	}
	return paths
}

// unescape undoes the \ooo of the mount table.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func openDetached() (*FS, error) {
	ctx, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen tracefs", err)
	}
	defer unix.Close(ctx)
	if err := unix.FsconfigCreate(ctx); err != nil {
		return nil, os.NewSyscallError("fsconfig tracefs", err)
	}
	dir, err := unix.Fsmount(ctx, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fsmount tracefs", err)
	}
	return &FS{dir: dir, how: "detached mount"}, nil
}

// Close ends the use of tracefs, and with it a detached mount.
func (fs *FS) Close() error { return unix.Close(fs.dir) }

// Open opens a file of tracefs with the flags of open(2).
func (fs *FS) Open(path string, flags int) (*os.File, error) {
	fd, err := unix.Openat(fs.dir, path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "tracefs/" + path, Err: err}
	}
	return os.NewFile(uintptr(fd), "tracefs/"+path), nil
}

// ReadFile reads a whole file.
func (fs *FS) ReadFile(path string) ([]byte, error) {
	f, err := fs.Open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// WriteFile writes s to a control file in one write.
func (fs *FS) WriteFile(path, s string) error {
	f, err := fs.Open(path, unix.O_WRONLY|unix.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s)
	return errors.Join(err, f.Close())
}

// Mkdir makes a directory, which below instances is a new instance.
func (fs *FS) Mkdir(path string) error {
	if err := unix.Mkdirat(fs.dir, path, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: "tracefs/" + path, Err: err}
	}
	return nil
}

// Rmdir removes a directory, which below instances is an instance with all in it.
func (fs *FS) Rmdir(path string) error {
	if err := unix.Unlinkat(fs.dir, path, unix.AT_REMOVEDIR); err != nil {
		return &os.PathError{Op: "rmdir", Path: "tracefs/" + path, Err: err}
	}
	return nil
}

// ReadDir returns the names in a directory.
func (fs *FS) ReadDir(path string) ([]string, error) {
	f, err := fs.Open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Event reads the id and the layout of a tracepoint, such as sched:sched_waking.
// Its error is an *ktrace.AccessError if the kernel has no such tracepoint.
func (fs *FS) Event(name string) (*Format, error) {
	system, event, _ := strings.Cut(name, ":")
	text, err := fs.ReadFile("events/" + system + "/" + event + "/format")
	if errors.Is(err, os.ErrNotExist) {
		return nil, &ktrace.AccessError{
			Tier: "perf", Missing: "this kernel has no tracepoint " + name,
			Change: "run a kernel with " + config(system), Err: err,
		}
	}
	if err != nil {
		at, mounted := strings.CutPrefix(fs.how, "mounted at ")
		if !mounted {
			at = ""
		}
		return nil, accessError(at, err, err)
	}
	f, err := ParseFormat(text)
	if err != nil {
		return nil, fmt.Errorf("format of tracepoint %s: %w", name, err)
	}
	return f, nil
}

// config names the kernel option that a group of tracepoints comes with.
func config(system string) string {
	if system == "raw_syscalls" || system == "syscalls" {
		return "CONFIG_FTRACE_SYSCALLS"
	}
	return "CONFIG_EVENT_TRACING"
}
