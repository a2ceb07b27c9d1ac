//go:build linux

package ktrace

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a kernel version as far as it orders: 6.18.44 of
// "6.18.44-1-amd64". A release candidate orders before its release.
type Version struct {
	Major, Minor, Patch int
	RC                  int // 0: a release
}

// ParseVersion reads the leading version of a release string, as uname -r
// prints it: "6.18", "5.10.262", "6.1-rc7", "6.18.44-1-amd64".
func ParseVersion(s string) (Version, error) {
	t := strings.TrimPrefix(strings.TrimSpace(s), "v")
	end := strings.IndexFunc(t, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	head, tail := t, ""
	if end >= 0 {
		head, tail = t[:end], t[end:]
	}
	parts := strings.Split(strings.TrimSuffix(head, "."), ".")
	if len(parts) < 2 {
		return Version{}, fmt.Errorf("kernel version %q: want MAJOR.MINOR, such as 6.18 or 5.10.262", s)
	}
	var n [3]int
	for i := 0; i < len(parts) && i < 3; i++ {
		v, err := strconv.Atoi(parts[i])
		if err != nil || v > 1<<16 {
			return Version{}, fmt.Errorf("kernel version %q: want MAJOR.MINOR, such as 6.18 or 5.10.262", s)
		}
		n[i] = v
	}
	v := Version{Major: n[0], Minor: n[1], Patch: n[2]}
	if rc, ok := strings.CutPrefix(strings.TrimPrefix(tail, "~"), "-rc"); ok || strings.HasPrefix(tail, "~rc") {
		if !ok {
			rc = strings.TrimPrefix(tail, "~rc")
		}
		if e := strings.IndexFunc(rc, func(r rune) bool { return r < '0' || r > '9' }); e >= 0 {
			rc = rc[:e]
		}
		v.RC, _ = strconv.Atoi(rc)
	}
	return v, nil
}

// Compare orders versions: negative if v is older than w.
func (v Version) Compare(w Version) int {
	for _, d := range [...]int{v.Major - w.Major, v.Minor - w.Minor, v.Patch - w.Patch} {
		if d != 0 {
			return d
		}
	}
	switch {
	case v.RC == w.RC:
		return 0
	case v.RC == 0:
		return 1
	case w.RC == 0:
		return -1
	}
	return v.RC - w.RC
}

// Series is the version without patch level: 6.18.
func (v Version) Series() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v Version) String() string {
	s := v.Series()
	if v.Patch != 0 {
		s += "." + strconv.Itoa(v.Patch)
	}
	if v.RC != 0 {
		s += "-rc" + strconv.Itoa(v.RC)
	}
	return s
}
