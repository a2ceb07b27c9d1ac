package main

import (
	"fmt"
	"regexp"

	"github.com/efd-go/efd/internal/ktrace"
	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// kind checks that a callee that is said to be a macro or an inline is one,
// where its definition is in a file that the catalogue names: a missing frame
// is excused by it.
func (t *tree) kind(cl catalog.Claim, file string) error {
	if cl.Kind != ktrace.Macro && cl.Kind != ktrace.Inline || file == "" || t.file(file) == "" {
		return nil
	}
	src, q := t.file(file), regexp.QuoteMeta(cl.Callee)
	macro := len(macros(src, cl.Callee)) > 0
	inline := regexp.MustCompile(`(?m)^[^#;{}\n]*\b(?:inline|__always_inline)\b[^;{}#]*\b` + q + `\s*\(`).MatchString(src)
	plain := len(functions(src, cl.Callee)) > 0
	switch {
	case !macro && !inline && !plain:
		return nil // defined elsewhere in this version
	case cl.Kind == ktrace.Macro && !macro:
		return fmt.Errorf("%s is no macro in %s", cl.Callee, file)
	case cl.Kind == ktrace.Inline && !inline:
		return fmt.Errorf("%s is no inline in %s", cl.Callee, file)
	}
	return nil
}
