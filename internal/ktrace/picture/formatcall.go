//go:build linux

package picture

import (
	"fmt"
	"strings"

	"github.com/efd-go/efd/internal/ktrace/catalog"
	"github.com/efd-go/efd/internal/ktrace/observe"
	"github.com/efd-go/efd/internal/uapi"
	"golang.org/x/sys/unix"
)

// FormatCall formats a call as far as its registers show it, and returns "" for
// a call that neither waits for file descriptors nor makes them.
func FormatCall(k *observe.Kernel, c *observe.Call) string {
	name := observe.SyscallName(k.Arch, c.Nr)
	sig := catalog.DefaultModel().Call(name).Args
	if sig == nil {
		return ""
	}
	if c.NoArgs || c.Enter == 0 && c.Args == [6]uint64{} {
		return name + "(…)" + callResult(c)
	}
	args := make([]string, len(sig))
	for i, kind := range sig {
		v := c.Args[i]
		switch kind {
		case "pointer":
			args[i] = "NULL"
			if v != 0 {
				args[i] = "0x" + fmt.Sprintf("%x", v)
			}
		case "eventfd-flags":
			args[i] = uapi.EventfdFlags.Strace(v)
		case "epoll-flags":
			args[i] = uapi.EpollCreateFlags.Strace(v)
		case "epoll-op":
			args[i] = uapi.EpollCtlOps.Strace(v)
		default:
			args[i] = fmt.Sprint(int32(v))
		}
	}
	return name + "(" + strings.Join(args, ", ") + ")" + callResult(c)
}

func callResult(c *observe.Call) string {
	switch {
	case c.Exit == 0:
		return " = ?"
	case restarts(-c.Ret) != "":
		return " = ? " + restarts(-c.Ret)
	case c.Ret < 0 && c.Ret > -4096:
		return " = -1 " + errnoName(-c.Ret)
	}
	return fmt.Sprintf(" = %d", c.Ret)
}

// restarts names a code that the kernel returns to itself, which no program
// sees, as strace does.
func restarts(n int64) string {
	switch n {
	case 512:
		return "ERESTARTSYS (To be restarted if SA_RESTART is set)"
	case 513:
		return "ERESTARTNOINTR (To be restarted)"
	case 514:
		return "ERESTARTNOHAND (To be restarted if no handler)"
	case 516:
		return "ERESTART_RESTARTBLOCK (Interrupted by signal)"
	}
	return ""
}

// errnoName names an error.
func errnoName(n int64) string {
	if s := unix.ErrnoName(unix.Errno(n)); s != "" {
		return s
	}
	return fmt.Sprint(n)
}
