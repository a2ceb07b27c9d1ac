//go:build linux

package main

import (
	"regexp"
	"slices"

	"github.com/efd-go/efd/internal/ktrace/catalog"
)

// waits are the functions that a catalogue of waiting and waking must not
// overlook: wait queues, wake-ups, polling, sleeping.
var waits = regexp.MustCompile(`\b(_*wake_up\w*|try_to_wake_up|\w*poll_wait|vfs_poll|_*add_wait_queue\w*|_*remove_wait_queue|` +
	`prepare_to_wait\w*|finish_wait|_*wait_event\w*|schedule|schedule_hrtimeout\w*|schedule_timeout\w*|eventfd_signal|eventfd_signal_mask)\s*\(`)

// call is one caller and its callee.
type call struct{ caller, callee string }

// missing lists the calls of a waiting or waking function that a function on a
// path makes, and that neither the catalogue nor the list of exceptions names.
func (t *tree) missing(present []catalog.Claim, leftOut map[call]string) []call {
	known := map[call]bool{}
	for _, cl := range present {
		known[call{cl.Caller, cl.Callee}] = true
	}
	var out []call
	for _, cl := range present {
		for _, b := range t.bodies(cl.File, cl.Caller) {
			for _, m := range waits.FindAllStringSubmatch(b.text, -1) {
				c := call{cl.Caller, m[1]}
				if !known[c] && leftOut[c] == "" && c.caller != c.callee && !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
	}
	return out
}
