//go:build linux

package ftrace

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/source/perf"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"golang.org/x/sys/unix"
)

// prefix starts the names of this package's instances. The PID and the start
// time of the owner follow, which distinguish an abandoned instance from one in
// use.
const prefix = "efdtrace-"

// instance is a private instance of the tracer. Removing it ends and forgets
// all that was set in it.
type instance struct {
	fs  *tracefs.FS
	dir string // below the root of tracefs
}

func instanceName() (string, error) {
	start, err := perf.StartTime(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), start), nil
}

// alive reports whether the maker of an instance still runs.
func alive(name string) bool {
	pid, start, ok := strings.Cut(strings.TrimPrefix(name, prefix), "-")
	n, err := strconv.Atoi(pid)
	if !ok || err != nil {
		return true // not one of ours: leave it alone
	}
	if _, err := strconv.ParseUint(start, 10, 64); err != nil {
		return true
	}
	now, err := perf.StartTime(n)
	return err == nil && now == start
}

// sweep removes instances whose makers are gone. A maker in another PID
// namespace looks gone from here, but an instance that is being read cannot be
// removed.
func sweep(fs *tracefs.FS) error {
	names, err := fs.ReadDir("instances")
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n, prefix) && !alive(n) {
			if err := fs.Rmdir("instances/" + n); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
	}
	return nil
}

// newInstance makes a private instance, and removes abandoned ones.
func newInstance(fs *tracefs.FS) (*instance, error) {
	if err := sweep(fs); err != nil {
		return nil, err
	}
	name, err := instanceName()
	if err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		in := &instance{fs, "instances/" + name}
		if i > 0 {
			in.dir += "." + strconv.Itoa(i)
		}
		err := fs.Mkdir(in.dir)
		if err == nil {
			return in, nil
		}
		if !errors.Is(err, unix.EEXIST) || i == 100 {
			return nil, err
		}
	}
}

func (in *instance) write(file, s string) error { return in.fs.WriteFile(in.dir+"/"+file, s) }

func (in *instance) read(file string) (string, error) {
	b, err := in.fs.ReadFile(in.dir + "/" + file)
	return strings.TrimSpace(string(b)), err
}

func (in *instance) remove() error { return in.fs.Rmdir(in.dir) }
