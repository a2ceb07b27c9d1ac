//go:build linux

package ftrace

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/source/tracefs"
	"github.com/efd-go/efd/internal/testenv"
	"golang.org/x/sys/unix"
)

const leaveBehind = "EFD_TEST_LEAVE_AN_INSTANCE"

func TestMain(m *testing.M) {
	if os.Getenv(leaveBehind) != "" {
		if err := leave(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// leave makes an instance, names it and waits to be killed.
func leave() error {
	fs, err := tracefs.Open()
	if err != nil {
		return err
	}
	in, err := newInstance(fs)
	if err != nil {
		return err
	}
	fmt.Println(in.dir)
	for { // select {} would be a deadlock, which ends the program
		unix.Pause()
	}
}

func tracing(t *testing.T) *tracefs.FS {
	t.Helper()
	fs, err := tracefs.Open()
	if ae, ok := errors.AsType[*ktrace.AccessError](err); ok {
		testenv.Require(t, ae.Tier, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fs.Close() })
	return fs
}

func TestLeftBehind(t *testing.T) {
	fs := tracing(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), leaveBehind+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	testenv.Start(t, cmd)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	dir, err := bufio.NewReader(out).ReadString('\n')
	dir = strings.TrimSpace(dir)
	if err != nil || !strings.HasPrefix(dir, "instances/"+prefix) {
		t.Fatalf("%q, %v", dir, err)
	}
	exists := func() bool {
		names, err := fs.ReadDir("instances")
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(names, strings.TrimPrefix(dir, "instances/"))
	}
	// Others' instances stay: one whose maker lives, and one of another name.
	const foreign = "instances/not-of-efdtrace-test"
	if err := fs.Mkdir(foreign); err != nil {
		t.Fatal(err)
	}
	defer fs.Rmdir(foreign)
	if err := sweep(fs); err != nil {
		t.Fatal(err)
	}
	if !exists() {
		t.Error("the instance of a living process was removed")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !exists() {
		t.Fatal("the instance did not outlive its maker, so this shows nothing")
	}
	in, err := newInstance(fs)
	if err != nil {
		t.Fatal(err)
	}
	if exists() {
		t.Error("the instance that was left behind is still there")
	}
	if names, _ := fs.ReadDir("instances"); !slices.Contains(names, strings.TrimPrefix(foreign, "instances/")) {
		t.Error("somebody else's instance was removed")
	}
	if err := in.remove(); err != nil {
		t.Error(err)
	}
	if names, _ := fs.ReadDir("instances"); slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, fmt.Sprintf("%s%d-", prefix, os.Getpid())) }) {
		t.Errorf("an instance of this process is left: %v", names)
	}
}

func TestAlive(t *testing.T) {
	name, err := instanceName()
	if err != nil {
		t.Fatal(err)
	}
	pid, start, _ := strings.Cut(strings.TrimPrefix(name, prefix), "-")
	for n, want := range map[string]bool{
		name: true, prefix + pid + "-1": false, prefix + "1999999999-" + start: false,
		prefix + "x-" + start: true, prefix: true, prefix + pid: true, prefix + pid + "-y": true,
	} {
		if got := alive(n); got != want {
			t.Errorf("alive(%q) = %v", n, got)
		}
	}
}
