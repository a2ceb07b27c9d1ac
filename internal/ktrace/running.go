//go:build linux

package ktrace

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// Running is the release of the kernel that this program runs on, as uname -r
// prints it, and its version. Every command and call that answers for this
// kernel asks here.
func Running() (release string, v Version, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", Version{}, err
	}
	release = unix.ByteSliceToString(u.Release[:])
	// Under setarch --uname-2.6 uname says 2.6 and something.
	if persona, _, errno := unix.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0); errno == 0 && persona&uname26 != 0 {
		if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
			release = string(bytes.TrimSpace(b))
		}
	}
	v, err = KernelVersion(release, unix.ByteSliceToString(u.Version[:]))
	return release, v, err
}

// uname26 is UNAME26 of linux/personality.h.
const uname26 = 0x0020000
