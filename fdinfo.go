//go:build linux

package efd

import (
	"bytes"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// readFDInfo returns /proc/self/fdinfo/fd, for a function or method of that name.
// See proc_pid_fdinfo(5).
func readFDInfo(name string, fd int) ([]byte, error) {
	if fd < 0 || fd > math.MaxInt32 {
		return nil, badArg(unix.EBADF, "%s: fd %d: want an open descriptor", name, fd)
	}
	path := append(strconv.AppendInt([]byte("/proc/self/fdinfo/"), int64(fd), 10), 0)
	info, errno := callOpen(path)
	if errno != 0 {
		if _, e := callFcntl(fd, unix.F_GETFD, 0); e != 0 {
			return nil, &callError{name + ": fd " + strconv.Itoa(fd) + ": want an open descriptor", opFcntl.fail(e)}
		}
		if errno == unix.ENOENT {
			return nil, errNoProc
		}
		return nil, opOpenat.fail(errno)
	}
	defer callClose(info)
	buf := make([]byte, 0, 512)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, errno := callReadBytes(info, buf[len(buf):cap(buf)])
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return nil, opRead.fail(errno)
		case n == 0:
			return buf, nil
		default:
			buf = buf[:len(buf)+n]
		}
	}
}

var errNoProc = &argError{"the state of a descriptor is in /proc/self/fdinfo, and no /proc is mounted", unix.ENOENT}

var errNoEventFD error = &argError{"the file is not an eventfd", unix.EINVAL}

func readEventFDInfo(name string, fd int) (Info, error) {
	text, err := readFDInfo(name, fd)
	if err != nil {
		return Info{}, err
	}
	info, ok := parseEventFDInfo(text)
	if !ok {
		return Info{}, errNoEventFD
	}
	return info, nil
}

// parseEventFDInfo reads the fdinfo of an eventfd; false if it is none. The
// id is there since Linux 5.2, the semaphore flag since 6.5. Lines that it does
// not know it leaves alone.
func parseEventFDInfo(text []byte) (info Info, ok bool) {
	info.ID = -1
	for line := range bytes.Lines(text) {
		key, val, found := bytes.Cut(line, []byte(":"))
		if !found {
			continue
		}
		v := string(bytes.TrimSpace(val))
		switch string(key) {
		case "flags":
			n, _ := strconv.ParseUint(v, 8, 31)
			info.Flags = int(n) &^ unix.O_CLOEXEC // of the number, and not of the open file
		case "eventfd-count":
			n, err := strconv.ParseUint(v, 16, 64)
			if err != nil {
				return Info{}, false
			}
			info.Count, ok = n, true
		case "eventfd-id":
			if n, err := strconv.ParseInt(v, 10, 32); err == nil && n >= 0 {
				info.ID = int(n)
			}
		case "eventfd-semaphore":
			info.Semaphore = v == "1"
		}
	}
	return info, ok
}

// parseInterest reads the tfd lines of an epoll's fdinfo.
func parseInterest(text []byte) []Interest {
	var list []Interest
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		// tfd: 5 events: 80000019 data: ffffffffffffffff pos:0 ino:1 sdev:d
		if len(f) < 6 || string(f[0]) != "tfd:" || string(f[2]) != "events:" || string(f[4]) != "data:" {
			continue
		}
		fd, err1 := strconv.ParseInt(string(f[1]), 10, 32)
		events, err2 := strconv.ParseUint(string(f[3]), 16, 32)
		data, err3 := strconv.ParseUint(string(f[5]), 16, 64)
		if err1 == nil && err2 == nil && err3 == nil {
			list = append(list, Interest{int(fd), EpollEvents(events), data})
		}
	}
	return list
}
