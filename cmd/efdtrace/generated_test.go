//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/efd-go/efd/internal/testenv"
	"github.com/google/go-cmp/cmp"
)

var updateGenerated = flag.Bool("update-generated", false, "write the manual page and the completions")

// generated are the files below docs, and their writers.
var generated = map[string]func(*bytes.Buffer){
	"man/efdtrace.1":            func(b *bytes.Buffer) { writeMan(b) },
	"completions/efdtrace.bash": func(b *bytes.Buffer) { writeCompletion(b, "bash") },
	"completions/_efdtrace":     func(b *bytes.Buffer) { writeCompletion(b, "zsh") },
	"completions/efdtrace.fish": func(b *bytes.Buffer) { writeCompletion(b, "fish") },
}

// The manual page and the completions are those of the sub-commands' flags.
func TestGeneratedFiles(t *testing.T) {
	testenv.Tree(t, "../../docs/man", "../../docs/completions")
	for name, write := range generated {
		var b bytes.Buffer
		write(&b)
		file := filepath.Join("..", "..", "docs", name)
		if *updateGenerated {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		old, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(old), b.String()); d != "" {
			t.Errorf("%s: run go generate ./cmd/efdtrace (-file +flags):\n%s", file, d)
		}
	}
}

// Each sub-command and each of its flags is in every generated file.
func TestGeneratedFilesAreComplete(t *testing.T) {
	all := definitions()
	if len(all) != len(commands) {
		t.Fatalf("%d sub-commands define flags, want %d", len(all), len(commands))
	}
	for name, write := range generated {
		var b bytes.Buffer
		write(&b)
		text := strings.ReplaceAll(b.String(), `\-`, "-")
		for _, d := range all {
			if !strings.Contains(text, d.name) {
				t.Errorf("%s lacks %s", name, d.name)
			}
			for _, f := range d.flags {
				option := "-" + f.name
				if strings.HasSuffix(name, ".fish") {
					option = map[bool]string{true: "-s ", false: "-o "}[len(f.name) == 1] + f.name
				}
				if !strings.Contains(text, option) {
					t.Errorf("%s lacks %s of %s", name, option, d.name)
				}
			}
		}
	}
}

// The values that are offered for a flag are taken.
func TestFlagValues(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte("eventfd2(0, 0) = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range definitions() {
		for _, f := range d.flags {
			if d.name == "explain" && f.values != nil {
				for _, v := range f.values {
					var out, errs bytes.Buffer
					if s := run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, []string{"explain", "-" + f.name, v, log}); s != exitOK {
						t.Errorf("explain -%s %s: status %d, %s", f.name, v, s, errs.String())
					}
				}
			}
			if f.name == "format" && f.values == nil {
				t.Errorf("%s -format has no values", d.name)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}, {"-version"}} {
		var out, errs bytes.Buffer
		if s := run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, args); s != exitOK || !strings.HasPrefix(out.String(), "efdtrace ") || !strings.Contains(out.String(), "newest reviewed kernel") {
			t.Errorf("%v: status %d, %s%s", args, s, out.String(), errs.String())
		}
	}
	var out bytes.Buffer
	run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &out}, []string{"version", "-json"})
	var v versionJSON
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v.Version == "" || v.Newest == "" || v.Paths < 40 {
		t.Errorf("version -json: %s, %v", out.String(), err)
	}
	if s := run(&env{stdin: strings.NewReader(""), stdout: &out, stderr: &out}, []string{"completion", "tcsh"}); s != exitUsage {
		t.Errorf("completion tcsh: status %d, want %d", s, exitUsage)
	}
}

// man has nothing to say against the page.
func TestManPage(t *testing.T) {
	_, err := exec.LookPath("man")
	testenv.Require(t, "man", err)
	testenv.Tree(t, "../../docs/man")
	cmd := exec.Command("man", "-l", "--warnings", "../../docs/man/efdtrace.1")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANPAGER=cat", "MANWIDTH=100")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || errs.Len() > 0 || !strings.Contains(out.String(), "efdtrace verify") {
		t.Errorf("man: %v, %s, %d bytes", err, errs.String(), out.Len())
	}
}

// Bash completes sub-commands, flags, values, names and files.
func TestBashCompletes(t *testing.T) {
	_, err := exec.LookPath("bash")
	testenv.Require(t, "bash", err)
	testenv.Tree(t, "../../docs/completions")
	script, err := filepath.Abs("../../docs/completions/efdtrace.bash")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "efdtrace")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "log one"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		"ver":                     {"verify", "version"},
		"run -f":                  {"-format"},
		"run -format fo":          {"folded"},
		"run -format = fo":        {"folded"},
		"run -o log":              {"log one"},
		"run -u roo":              {"root"},
		"run -p 1":                {"1"},
		"run -- tru":              {"true"},
		"run -- true log":         {"log one"},
		"explain -paths ":         {"none", "once", "all"},
		"explain -code spin-hang": {"spin-hangup"},
		"explain log":             {"log one"},
		"path eventfd_si":         {"eventfd_signal"},
		"path -kernel ":           {},
		"verify epoll_wai":        {"epoll_wait"},
		"learn sema":              {"semaphore"},
		"completion ":             {"bash", "zsh", "fish"},
		"version -":               {"-h", "-json"},
	} {
		words := strings.Split(bin+" "+line, " ")
		var b strings.Builder
		b.WriteString("source '" + script + "'\ncompopt() { :; }\ncd '" + dir + "'\nCOMP_WORDS=(")
		for _, w := range words {
			b.WriteString("'" + w + "' ")
		}
		b.WriteString(")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_efdtrace\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n")
		cmd := exec.Command("bash", "--norc", "-c", b.String())
		out, err := cmd.CombinedOutput()
		got := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
		if err != nil || len(want) > 0 && !slices.Contains(got, want[0]) || len(want) != 1 && len(got) != len(want) {
			t.Errorf("efdtrace %s: %q, %v; want %q", line, got, err, want)
		}
	}
}
