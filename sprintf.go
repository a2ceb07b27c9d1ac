//go:build linux

package efd

import (
	"reflect"
	"strconv"
)

// sprintf is fmt.Sprintf for the verbs %d and %#x of whole numbers, and %s
// of strings. Package fmt alone is larger than all that the handles add to
// a small program, and a program that asks values for their String methods has
// all of those, time.Time's too.
func sprintf(format string, args ...any) string {
	var out []byte
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || len(args) == 0 {
			out = append(out, format[i])
			continue
		}
		if i++; format[i] == '#' {
			i++
			out = append(out, "0x"...)
		}
		out = appendArg(out, format[i], args[0])
		args = args[1:]
	}
	return string(out)
}

func appendArg(out []byte, verb byte, arg any) []byte {
	base := 10
	if verb == 'x' {
		base = 16
	}
	switch v := reflect.ValueOf(arg); {
	case v.CanInt():
		return strconv.AppendInt(out, v.Int(), base)
	case v.CanUint():
		return strconv.AppendUint(out, v.Uint(), base)
	default:
		return append(out, v.String()...)
	}
}
