//go:build linux

package running

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPersonality: what setarch has uname say of the kernel is not what runs.
func TestPersonality(t *testing.T) {
	runtime.LockOSThread() // a personality is a thread's
	defer runtime.UnlockOSThread()
	release, machine := Release(), Machine()
	if release == "" || machine == "" {
		t.Fatalf("release %q, machine %q", release, machine)
	}
	own, _, errno := unix.Syscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Syscall(unix.SYS_PERSONALITY, own, 0, 0)
	const linux32 = 8
	for _, persona := range []uintptr{linux32, uname26} {
		if _, _, errno := unix.Syscall(unix.SYS_PERSONALITY, own|persona, 0, 0); errno != 0 {
			t.Logf("personality %#x: %v", persona, errno) // a processor without programs of 32 bits
			continue
		}
		if persona == linux32 && runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
			continue
		}
		if r, m := Release(), Machine(); r != release || m != machine {
			t.Errorf("personality %#x: %s %s, want %s %s", persona, r, m, release, machine)
		}
	}
}
