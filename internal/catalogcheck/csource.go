//go:build linux

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// tree is one kernel source tree on disk. Files are read once, with comments
// and strings blanked.
type tree struct {
	dir   string
	files map[string]string
	found map[[2]string][]span
}

// span is a body: an offset into a file, and its text.
type span struct {
	at   int
	text string
}

func newTree(dir string) *tree {
	return &tree{dir: dir, files: map[string]string{}, found: map[[2]string][]span{}}
}

// file returns the text of a file, "" if the tree has none.
func (t *tree) file(name string) string {
	s, ok := t.files[name]
	if !ok {
		b, _ := os.ReadFile(filepath.Join(t.dir, name))
		s = blank(string(b))
		t.files[name] = s
	}
	return s
}

// blank replaces comments, strings and character constants by spaces, so that
// a call in them is none. Offsets and lines stay.
func blank(src string) string {
	b := []byte(src)
	wipe := func(i, j int) {
		for ; i < j && i < len(b); i++ {
			if b[i] != '\n' {
				b[i] = ' '
			}
		}
	}
	for i := 0; i < len(b); {
		switch {
		case strings.HasPrefix(src[i:], "/*"):
			end := strings.Index(src[i+2:], "*/")
			if end < 0 {
				wipe(i, len(b))
				return string(b)
			}
			wipe(i, i+end+4)
			i += end + 4
		case strings.HasPrefix(src[i:], "//"):
			end := strings.IndexByte(src[i:], '\n')
			if end < 0 {
				end = len(b) - i
			}
			wipe(i, i+end)
			i += end
		case src[i] == '"' || src[i] == '\'':
			j := i + 1
			for j < len(b) && src[j] != src[i] && src[j] != '\n' {
				if src[j] == '\\' {
					j++
				}
				j++
			}
			wipe(i, j+1)
			i = j + 1
		default:
			i++
		}
	}
	return string(b)
}

// closing returns the offset after the bracket that closes the one at i.
func closing(s string, i int) int {
	open := s[i]
	shut := map[byte]byte{'(': ')', '{': '}'}[open]
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case open:
			depth++
		case shut:
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

var (
	sysName    = regexp.MustCompile(`^__(?:x64|arm64)_sys_(\w+)$`)
	schedClass = regexp.MustCompile(`^(\w+)_sched_class$`)
	attributes = regexp.MustCompile(`^(?:\s|__\w+(?:\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?|noinline\w*)*\{`)
)

// bodies returns every body that the file gives a name: functions (an #ifdef
// may choose between several), macros, system calls, initialisers, and the
// code under an assembler label.
func (t *tree) bodies(file, name string) []span {
	key := [2]string{file, name}
	if b, ok := t.found[key]; ok {
		return b
	}
	src := t.file(file)
	var out []span
	if strings.HasSuffix(file, ".S") {
		out = assembler(src, name)
	} else {
		out = append(out, functions(src, name)...)
		out = append(out, macros(src, name)...)
		out = append(out, initialisers(src, name)...)
	}
	t.found[key] = out
	return out
}

func functions(src, name string) []span {
	pattern := `\b` + regexp.QuoteMeta(name) + `\s*\(`
	if m := sysName.FindStringSubmatch(name); m != nil {
		pattern = `\bSYSCALL_DEFINE\d\(` + m[1] + `\b`
	}
	var out []span
	for _, m := range regexp.MustCompile(pattern).FindAllStringIndex(src, -1) {
		paren := m[0] + strings.IndexByte(src[m[0]:], '(')
		end := closing(src, paren)
		if end < 0 {
			continue
		}
		head := attributes.FindStringIndex(src[end:])
		if head == nil {
			continue
		}
		brace := end + head[1] - 1
		if stop := closing(src, brace); stop > 0 {
			out = append(out, span{brace, src[brace:stop]})
		}
	}
	return out
}

func macros(src, name string) []span {
	var out []span
	for _, m := range regexp.MustCompile(`(?m)^[ \t]*#[ \t]*define[ \t]+`+regexp.QuoteMeta(name)+`\b`).FindAllStringIndex(src, -1) {
		end := m[1]
		for end < len(src) {
			nl := strings.IndexByte(src[end:], '\n')
			if nl < 0 {
				end = len(src)
				break
			}
			end += nl + 1
			if !strings.HasSuffix(strings.TrimRight(src[:end-1], " \t"), `\`) {
				break
			}
		}
		out = append(out, span{m[1], src[m[1]:end]})
	}
	return out
}

func initialisers(src, name string) []span {
	pattern := `\b` + regexp.QuoteMeta(name) + `\b[^;{}=]*=\s*\{`
	if m := schedClass.FindStringSubmatch(name); m != nil {
		pattern += `|\bDEFINE_SCHED_CLASS\(` + m[1] + `\)\s*=\s*\{`
	}
	var out []span
	for _, m := range regexp.MustCompile(pattern).FindAllStringIndex(src, -1) {
		if end := closing(src, m[1]-1); end > 0 {
			out = append(out, span{m[1] - 1, src[m[1]-1 : end]})
		}
	}
	return out
}

func assembler(src, name string) []span {
	q := regexp.QuoteMeta(name)
	m := regexp.MustCompile(`(?m)^(?:SYM_CODE_START|ENTRY|SYM_FUNC_START)\(` + q + `\)`).FindStringIndex(src)
	if m == nil {
		return nil
	}
	end := regexp.MustCompile(`(?m)^(?:SYM_CODE_END|END|SYM_FUNC_END)\(` + q + `\)`).FindStringIndex(src[m[1]:])
	if end == nil {
		return nil
	}
	return []span{{m[1], src[m[1] : m[1]+end[0]]}}
}

func lineOf(src string, at int) int { return 1 + strings.Count(src[:at], "\n") }
