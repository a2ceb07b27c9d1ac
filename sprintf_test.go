//go:build linux

package efd

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSprintf(t *testing.T) {
	for _, c := range []struct {
		format string
		args   []any
	}{
		{"", nil}, {"no verb", nil}, {"fd %d: want 0 to %d", []any{-1, 1<<31 - 1}}, {"flags %#x: want", []any{uint32(0xdeadbeef)}}, {"%#x", []any{uint8(0)}},
		{"events %s: %s", []any{(EPOLLIN | EPOLLET).String(), ""}},
		{"signal %d", []any{unix.SIGUSR1}}, {"%d %d", []any{uint64(1<<64 - 1), int8(-5)}},
	} {
		if got, want := sprintf(c.format, c.args...), fmt.Sprintf(c.format, c.args...); got != want {
			t.Errorf("%q of %v: %q, want %q", c.format, c.args, got, want)
		}
	}
}

// Each format has as many verbs as arguments, and only those that sprintf knows.
// go vet looks at package fmt's functions alone.
func TestFormats(t *testing.T) {
	set := token.NewFileSet()
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if i.Path.Value == `"fmt"` {
				t.Errorf("%s imports fmt, which is larger than all that the handles add to a small program: sprintf is here", name)
			}
		}
		ast.Inspect(f, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.Ident)
			first := map[string]int{"badArg": 1, "sprintf": 0}
			if !ok || fun.Name != "badArg" && fun.Name != "sprintf" {
				return true
			}
			i := first[fun.Name]
			lit, ok := call.Args[i].(*ast.BasicLit)
			if !ok {
				return true // sprintf in badArg
			}
			n++
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(text, "%")[1:]
			for _, p := range parts {
				if !strings.HasPrefix(p, "#x") && !strings.ContainsAny(p[:min(1, len(p))], "ds") {
					t.Errorf("%s: %q: verb %%%.2s, which sprintf does not know: %%s takes a string, of what has the method String()", set.Position(call.Pos()), text, p)
				}
			}
			if got := len(call.Args) - i - 1; got != len(parts) {
				t.Errorf("%s: %q has %d verbs and %d arguments", set.Position(call.Pos()), text, len(parts), got)
			}
			return true
		})
	}
	if n < 10 {
		t.Errorf("%d formats found", n)
	}
}
