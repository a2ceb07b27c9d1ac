//go:build linux

package catalog_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/ktrace/catalog"
)

func TestBadModelIsNamed(t *testing.T) {
	for _, tc := range []struct{ file, old, new, want string }{
		{"frames.txt", "\nwalks ", "\nwalk ", `"walk" is not a keyword`},
		{"frames.txt", "\nwide do_syscall_64", "\nwide", "wide needs functions"},
		{"frames.txt", "\nfile kernel/softirq.c\n", "\nfile -\n", "want file FILE..."},
		{"frames.txt", "\ncallback poller", "\ncallback polled", `calls.txt has no waiter "polled"`},
		{"frames.txt", "\nwide do_syscall_64", "\nwide do_syscall_64 do_syscall_64", "do_syscall_64 is wide twice"},
		{"calls.txt", "\ncall read 0 ", "\ncall read zero ", `calls.txt:26: "zero" is not the number of a system call`},
		{"calls.txt", "\ncall read 0 63 args", "\ncall read 0 63 args number\ncall read 0 63 args", "read is there twice"},
		{"calls.txt", "16 29 quiet", "16 29 quite", `"quite" is none of args path`},
		{"calls.txt", "\nwaiter poller calls ppoll", "\nwaiter poller calls pppoll", `no call "pppoll" above`},
		{"calls.txt", "\narch amd64 1", "\narch amd64 3", `"3" is not a column`},
		{"calls.txt", "\nhelper ", "\nhelp ", "is none of arch"},
	} {
		if _, err := catalog.LoadModel(copyData(t, tc.file, tc.old, tc.new)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q for %q in %s: error %v, want one with %q", tc.new, tc.old, tc.file, err, tc.want)
		}
	}
}

// TestPathsOfModel: the paths and branches that the model names are in the
// catalogue.
func TestPathsOfModel(t *testing.T) {
	if err := catalog.Default().CheckModel(catalog.DefaultModel()); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct{ file, old, new, want string }{
		{"frames.txt", "\nwide do_syscall_64", "", "no function is wide"},
		{"calls.txt", "path ppoll", "path pppoll", `no path "pppoll"`},
		{"calls.txt", "blocked sleeper", "blocked sleepers", `no branch "sleepers"`},
		{"frames.txt", "\nsource pipe ", "\nsource pipes ", `no path "pipes"`},
		{"frames.txt", "\nchange eventfd_read ", "\nchange eventfd_reads ", `no path "eventfd_reads"`},
	} {
		m, err := catalog.LoadModel(copyData(t, tc.file, tc.old, tc.new))
		if err == nil {
			err = catalog.Default().CheckModel(m)
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q for %q in %s: error %v, want one with %q", tc.new, tc.old, tc.file, err, tc.want)
		}
	}
}

// TestNumbers: the numbers of the system calls are those of golang.org/x/sys,
// which has them from the kernel's headers.
func TestNumbers(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64", "riscv64", "loong64"} {
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "unix", "zsysnum_linux_"+arch+".go"))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		for _, m := range regexp.MustCompile(`SYS_(\w+)\s*= (\d+)`).FindAllStringSubmatch(string(b), -1) {
			want[strings.ToLower(m[1])], _ = strconv.Atoi(m[2])
		}
		if n := len(want); n < 250 {
			t.Fatalf("x/sys has %d numbers for %s", n, arch)
		}
		a, known := catalog.DefaultModel().Arch(arch), 0
		for name, nr := range want {
			if c := a.Call(nr); c != nil && c.Name != name {
				t.Errorf("%s: call %d is %s, and the data says %s", arch, nr, name, c.Name)
			} else if c != nil {
				known++
			}
		}
		if all := a.Numbers(func(*catalog.Call) bool { return true }); known != len(all) || known < 60 {
			t.Errorf("%s: %d of %d numbers are in x/sys", arch, known, len(all))
		}
	}
}

// TestFunctionsAreProved: each function that the model names is on a path, or
// was found in a kernel's source, or cannot be found there for a reason.
func TestFunctionsAreProved(t *testing.T) {
	c := catalog.Default()
	for _, n := range c.OffPath(catalog.DefaultModel()) {
		proved := false
		for _, tree := range c.Trees() {
			proved = proved || c.Line(tree, n.ID()) > 0
		}
		if reasoned := len(n.Files) > 1 && n.Files[0] == "-"; !proved && !reasoned {
			t.Errorf("%s: %s is not proved; run make catalog-check and write the proofs anew", n.Where, n.Function)
		}
	}
}
