//go:build linux

package strace

import (
	"os"
	"testing"
)

// Whatever comes in comes out, and nothing is fatal.
func FuzzReader(f *testing.F) {
	for _, name := range logs(f) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 6000)])
	}
	for _, s := range brokenLogs {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		roundTrip(t, in, func(rec *Record) {
			for _, a := range rec.Call.Args {
				ParseFD(a)
				PollFDs(a, func(PollFD) {})
				FDSet(a, func(fd FD) { fd.Kind(); fd.Eventfd() })
				EpollItems(a, func(EpollItem) {})
				Timespec(a, 1)
				eightBytes(a)
				Order(a)
				Has(a, "POLLIN", 1)
			}
		})
	})
}
