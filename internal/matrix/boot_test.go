//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/efd-go/efd/internal/matrix/wire"
	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

// cached returns a kernel that an earlier run left in the cache.
func cached(t *testing.T) *kernel {
	t.Helper()
	_, err := exec.LookPath(qemu["amd64"].program)
	testenv.Require(t, "qemu", err)
	base, err := os.UserCacheDir()
	testenv.Require(t, "qemu", err)
	images, _ := filepath.Glob(filepath.Join(base, "efd/kernels/amd64/*/vmlinuz"))
	if len(images) == 0 {
		testenv.Require(t, "qemu", errors.New("no kernel in the cache: run make matrix first"))
	}
	dir := filepath.Dir(images[0])
	abi, _, _ := strings.Cut(filepath.Base(dir), "_")
	k, ok := parsePackage("linux-image-" + abi)
	if !ok {
		t.Fatalf("%s is no kernel", dir)
	}
	k.dir = dir
	return &k
}

// initrd writes an initramfs with what add puts into it.
func initrd(t *testing.T, add func(c *cpioWriter)) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "initrd")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := newCpio(f)
	c.char("dev/console", 0o600, 5, 1)
	add(c)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// What is no frame ends a guest with the reason, and is not waited for as for one that hangs.
func TestGarbage(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "port"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	guest, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	var sent bytes.Buffer
	wire.Write(&sent, wire.Frame{Kind: wire.Hello}, nil)
	sent.WriteString("BUG: sleeping function\n")
	wire.Write(&sent, wire.Frame{Kind: wire.Bye}, nil)
	if _, err := guest.Write(sent.Bytes()); err != nil {
		t.Fatal(err)
	}
	frames := 0
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	finished, err := receive(l, timer, time.Minute, func(wire.Frame, []byte) { frames++ })
	if finished || !errors.Is(err, wire.ErrNoFrame) || !strings.Contains(err.Error(), "BUG: sleeping") || frames != 1 {
		t.Errorf("receive = %v, %v after %d frames", finished, err, frames)
	}
}

func TestPanic(t *testing.T) {
	k := cached(t)
	image := initrd(t, func(c *cpioWriter) { c.bytes("init", 0o755, []byte("no program")) })
	log, err := boot(t.Context(), k, image, limits{time.Minute, 2 * time.Minute}, func(wire.Frame, []byte) {})
	if err == nil || err.Error() != "the guest panicked" || !strings.Contains(lastWords(log), "Kernel panic") {
		t.Errorf("boot of an initramfs without init = %v\n%s", err, lastWords(log))
	}
}

// guestInit builds the guest's first process.
func guestInit(t *testing.T) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := moduleRoot(wd)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "init")
	if _, err := goTool(t.Context(), filepath.Join(root, here), "amd64", "build", "-o", out, "./guest"); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHang(t *testing.T) {
	k := cached(t)
	init := guestInit(t)
	image := initrd(t, func(c *cpioWriter) {
		if err := c.file("init", init); err != nil {
			t.Fatal(err)
		}
	})
	const limit = 200 * time.Millisecond // no kernel is up by then
	_, err := boot(t.Context(), k, image, limits{limit, time.Minute}, func(wire.Frame, []byte) {})
	if want := fmt.Sprintf("the guest hangs: no sign of life for %v", limit); err == nil || err.Error() != want {
		t.Errorf("boot of a silent guest = %v, want %s", err, want)
	}
}

func TestGuestSteps(t *testing.T) {
	k := cached(t)
	init := guestInit(t)
	image := initrd(t, func(c *cpioWriter) {
		for _, d := range []string{"proc", "sys", "tmp"} {
			c.dir(d)
		}
		if err := c.file("init", init); err != nil {
			t.Fatal(err)
		}
		if err := c.modules(k); err != nil {
			t.Fatal(err)
		}
		// As a program the guest itself says that it is no first process: a step with status 2,
		// which does not run once more as one with failed tests would.
		c.bytes("job.json", 0o644, []byte(`{"Steps":[{"Name":"refuses","Dir":"/","Args":["/init"],"Timeout":60000000000,"Twice":true},
			{"Name":"missing","Dir":"/","Args":["/nothing"],"Timeout":60000000000}]}`))
	})
	var ends []wire.Frame
	output := ""
	log, err := boot(t.Context(), k, image, limits{time.Minute, 3 * time.Minute}, func(f wire.Frame, body []byte) {
		switch f.Kind {
		case wire.Output:
			output += string(body)
		case wire.End:
			ends = append(ends, f)
		}
	})
	if err != nil {
		t.Fatalf("boot: %v\n%s", err, lastWords(log))
	}
	if len(ends) != 2 || ends[0].Status != 2 || ends[1].Status != 127 || !strings.Contains(output, "first process of a virtual machine") {
		t.Errorf("steps ended as %+v and wrote %q", ends, output)
	}
}

func TestWarnings(t *testing.T) {
	log := "[    3.16] Freeing initrd memory: 99408K\n" +
		"[   31.366522] WARNING: CPU: 0 PID: 188 at arch/x86/kernel/traps.c:1165 exc_debug_kernel+0xcc/0x160\n" +
		"a test prints WARNING: nothing\n" +
		"[  400.100000] INFO: task efd.test:188 blocked for more than 120 seconds.\n"
	want := []string{
		"the kernel warned: WARNING: CPU: 0 PID: 188 at arch/x86/kernel/traps.c:1165 exc_debug_kernel+0xcc/0x160",
		"the kernel warned: INFO: task efd.test:188 blocked for more than 120 seconds.",
	}
	if d := cmp.Diff(want, warnings(log)); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}
