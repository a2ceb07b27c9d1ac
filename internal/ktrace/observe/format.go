//go:build linux

package observe

import (
	"fmt"
	"strings"

	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// argKind is how an argument is shown. What pointers point at was not recorded.
type argKind uint8

const (
	number argKind = iota
	pointer
	eventfdFlags
	epollFlags
	epollOp
)

// signature is how a call's arguments are shown.
func signature(name string) []argKind {
	switch name {
	case "eventfd":
		return []argKind{number}
	case "eventfd2":
		return []argKind{number, eventfdFlags}
	case "epoll_create":
		return []argKind{number}
	case "epoll_create1":
		return []argKind{epollFlags}
	case "epoll_ctl":
		return []argKind{number, epollOp, number, pointer}
	case "epoll_wait":
		return []argKind{number, pointer, number, number}
	case "epoll_pwait":
		return []argKind{number, pointer, number, number, pointer, number}
	case "epoll_pwait2":
		return []argKind{number, pointer, number, pointer, pointer, number}
	case "poll":
		return []argKind{pointer, number, number}
	case "ppoll":
		return []argKind{pointer, number, pointer, pointer, number}
	case "select":
		return []argKind{number, pointer, pointer, pointer, pointer}
	case "pselect6":
		return []argKind{number, pointer, pointer, pointer, pointer, pointer}
	case "read", "write":
		return []argKind{number, pointer, number}
	}
	return nil
}

// FormatCall prints a call as far as its registers tell it. It is "" for a
// call that is none of those that wait for descriptors or make them.
func (k *Kernel) FormatCall(c *Call) string {
	name := SyscallName(k.Arch, c.Nr)
	sig := signature(name)
	if sig == nil {
		return ""
	}
	if c.NoArgs || c.Enter == 0 && c.Args == [6]uint64{} {
		return name + "(…)" + result(c)
	}
	args := make([]string, len(sig))
	for i, kind := range sig {
		v := c.Args[i]
		switch kind {
		case pointer:
			args[i] = "NULL"
			if v != 0 {
				args[i] = "0x" + fmt.Sprintf("%x", v)
			}
		case eventfdFlags:
			args[i] = uapi.EventfdFlags.Strace(v)
		case epollFlags:
			args[i] = uapi.EpollCreateFlags.Strace(v)
		case epollOp:
			args[i] = uapi.EpollCtlOps.Strace(v)
		default:
			args[i] = fmt.Sprint(int32(v))
		}
	}
	return name + "(" + strings.Join(args, ", ") + ")" + result(c)
}

func result(c *Call) string {
	switch {
	case c.Exit == 0:
		return " = ?"
	case c.Ret < 0 && c.Ret > -4096:
		return " = -1 " + errno(-c.Ret)
	}
	return fmt.Sprintf(" = %d", c.Ret)
}

// errno names an error. The kernel's own restart codes are seen here, and not
// in user space.
func errno(n int64) string {
	switch n {
	case 512:
		return "ERESTARTSYS"
	case 513:
		return "ERESTARTNOINTR"
	case 514:
		return "ERESTARTNOHAND"
	case 516:
		return "ERESTART_RESTARTBLOCK"
	}
	if s := unix.ErrnoName(unix.Errno(n)); s != "" {
		return s
	}
	return fmt.Sprint(n)
}
