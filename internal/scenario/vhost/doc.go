//go:build linux

// Package vhost drives vhost-net: a transmit queue whose kick eventfd the
// kernel's worker waits on and whose call eventfd it signals. The tap device
// behind it lives in a network namespace of its own, so that no interface
// appears on the host and no packet leaves it.
package vhost
