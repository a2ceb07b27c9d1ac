//go:build linux

package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// limited are the functions that give what they call a limit.
var limited = map[string]bool{"Within": true, "Until": true}

// bounders give a process that was started a limit.
var bounders = map[string]bool{"Ends": true, "EndsWithin": true, "within": true}

// Whatever a test waits for, it waits with a limit, by way of internal/testenv:
// no bare receive, no Wait of a group or a process, no process that was started
// and may run for ever. What other goroutines wait for is theirs: the test waits
// for them.
func TestWaitsHaveLimits(t *testing.T) {
	top := filepath.Join("..", "..")
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || strings.Contains(path, "internal/bench/") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil && takesTest(f.Type) {
				for _, w := range unlimited(f.Body) {
					t.Errorf("%s: %s has no limit; testenv.Receive, Within or Ends gives it one", set.Position(w.pos), w.what)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// takesTest reports whether a function has a test among its parameters.
func takesTest(f *ast.FuncType) bool {
	for _, p := range f.Params.List {
		typ := p.Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if sel, ok := typ.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "testing" {
				return true
			}
		}
	}
	return false
}

type wait struct {
	pos  token.Pos
	what string
}

// unlimited are the waits below a function's body that nothing limits.
func unlimited(body ast.Node) (waits []wait) {
	var starts []wait
	bounded := false
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			return false
		case *ast.AssignStmt:
			if _, ok := n.Rhs[0].(*ast.FuncLit); ok {
				return false // is called elsewhere, by another goroutine if it waits
			}
		case *ast.KeyValueExpr:
			return false
		case *ast.SelectStmt:
			if len(n.Body.List) > 1 {
				for _, clause := range n.Body.List {
					bounded = bounded || ofTimer(clause.(*ast.CommClause).Comm)
					for _, s := range clause.(*ast.CommClause).Body {
						waits = append(waits, unlimited(s)...)
					}
				}
				return false
			}
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				waits = append(waits, wait{n.Pos(), "a receive"})
			}
		case *ast.CallExpr:
			name := called(n)
			switch {
			case limited[name] || name == "Go":
				return false
			case bounders[name]:
				bounded = true
			case name == "Wait" && len(n.Args) == 0 && !ofProcess(n):
				waits = append(waits, wait{n.Pos(), "Wait"})
			case name == "Start" && len(n.Args) == 0:
				starts = append(starts, wait{n.Pos(), "a process that is started"})
			}
		}
		return true
	})
	if !bounded {
		waits = append(waits, starts...)
	}
	return waits
}

// ofTimer reports whether a case of a select is that of a timer: the function
// has a limit of its own.
func ofTimer(comm ast.Stmt) bool {
	e, ok := comm.(*ast.ExprStmt)
	if !ok {
		return false
	}
	recv, ok := e.X.(*ast.UnaryExpr)
	if !ok {
		return false
	}
	switch x := recv.X.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name == "C"
	case *ast.CallExpr:
		return called(x) == "After"
	}
	return false
}

// ofProcess reports whether a call is Wait of a process: where it was started
// it got its limit.
func ofProcess(c *ast.CallExpr) bool {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch x := sel.X.(type) {
	case *ast.Ident:
		return strings.HasSuffix(x.Name, "cmd")
	case *ast.SelectorExpr:
		return x.Sel.Name == "Process" || x.Sel.Name == "cmd"
	}
	return false
}

func called(c *ast.CallExpr) string {
	fun := c.Fun
	if i, ok := fun.(*ast.IndexExpr); ok {
		fun = i.X
	}
	switch f := fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}
