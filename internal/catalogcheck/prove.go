//go:build linux

package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// prove finds the call of a claim in the tree: in the named file, in the body
// of the caller. It returns the line, or the missing part.
func (t *tree) prove(cl catalog.Claim) (int, error) {
	src := t.file(cl.File)
	if src == "" {
		return 0, fmt.Errorf("no file %s", cl.File)
	}
	bodies := t.bodies(cl.File, cl.Caller)
	if len(bodies) == 0 {
		return 0, fmt.Errorf("%s is not defined in %s", cl.Caller, cl.File)
	}
	want := callOf(cl)
	for _, b := range bodies {
		if m := want.FindStringSubmatchIndex(b.text); m != nil {
			if cl.Kind == ktrace.Pointer {
				if err := t.set(cl); err != nil {
					return 0, err
				}
			}
			return lineOf(src, b.at+m[len(m)-2]), nil
		}
	}
	if n, ok := t.fromTable(cl, bodies); ok {
		return n, nil
	}
	return 0, fmt.Errorf("%s in %s does not call %s", cl.Caller, cl.File, cl.Callee)
}

// callOf is how the call looks in the caller's body.
func callOf(cl catalog.Claim) *regexp.Regexp {
	switch {
	case cl.Kind == ktrace.Pointer:
		return regexp.MustCompile(`(?:^|\W)\(?\*?` + regexp.QuoteMeta(cl.Pointer) + `\b`)
	case strings.HasSuffix(cl.File, ".S"):
		return regexp.MustCompile(`\b(?:call|jmp|bl|b)\s+` + regexp.QuoteMeta(cl.Callee) + `\b`)
	case regexp.MustCompile(`^[A-Z_]+$`).MatchString(cl.Callee):
		return regexp.MustCompile(`\b` + regexp.QuoteMeta(cl.Callee) + `\b`)
	}
	// A member of the same name is a pointer: sk->sk_error_report(sk).
	return regexp.MustCompile(`(?:^|[^\w>.])(` + regexp.QuoteMeta(cl.Callee) + `)\s*\(`)
}

// set proves that the named function, macro or initialiser gives the pointer
// its value.
func (t *tree) set(cl catalog.Claim) error {
	bodies := t.bodies(cl.SetIn, cl.SetBy)
	if len(bodies) == 0 {
		return fmt.Errorf("%s, which sets %s, is not defined in %s", cl.SetBy, cl.Pointer, cl.SetIn)
	}
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(cl.Callee) + `\b`)
	for _, b := range bodies {
		if word.MatchString(b.text) {
			return nil
		}
	}
	if _, ok := t.fromTable(cl, bodies); ok {
		return nil
	}
	return fmt.Errorf("%s in %s does not name %s", cl.SetBy, cl.SetIn, cl.Callee)
}

// tables are where the names of system calls are, for bodies that are made by
// including them.
var tables = map[string][]string{
	"x64":   {"arch/x86/entry/syscalls/syscall_64.tbl"},
	"arm64": {"include/uapi/asm-generic/unistd.h", "scripts/syscall.tbl", "arch/arm64/tools/syscall_64.tbl"},
}

// fromTable proves the call of a system call by a body that consists of the
// included table of all calls.
func (t *tree) fromTable(cl catalog.Claim, bodies []span) (int, bool) {
	m := sysName.FindStringSubmatch(cl.Callee)
	if m == nil {
		return 0, false
	}
	arch := strings.TrimPrefix(strings.TrimSuffix(cl.Callee, "_sys_"+m[1]), "__")
	include := regexp.MustCompile(`#\s*include\s+<asm/(?:syscall\w*|unistd)\.h>`)
	name := regexp.MustCompile(`\bsys_` + m[1] + `\b|__` + arch + `_sys_` + m[1] + `\b`)
	file := cl.File
	if cl.Kind == ktrace.Pointer {
		file = cl.SetIn
	}
	for _, b := range bodies {
		at := include.FindStringIndex(b.text)
		if at == nil {
			continue
		}
		for _, tbl := range tables[arch] {
			if name.MatchString(t.file(tbl)) {
				return lineOf(t.file(file), b.at+at[0]), true
			}
		}
	}
	return 0, false
}
