//go:build linux

// Package count writes numbers of things as sentences have them: one record,
// two records.
package count

import "strconv"

// Integer is any integer.
type Integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Of is "1 wake", "2 wakes". many is for words that do not take an s at their
// end: Of(n, "record was lost", "records were lost").
func Of[N Integer](n N, one string, many ...string) string {
	if n != 1 && len(many) == 0 {
		one += "s"
	}
	return digits(n) + " " + Word(n, one, append(many, one)[0])
}

// Word is one for 1, and many else.
func Word[N Integer](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func digits[N Integer](n N) string {
	if n < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(uint64(n), 10)
}
