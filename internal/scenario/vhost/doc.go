//go:build linux

// Package vhost drives vhost-net: a transmit queue with a kick eventfd, on
// which the kernel's worker waits, and a call eventfd, which it signals. Its
// tap device lives in a network namespace of its own, so that no interface
// appears on the host and no packet leaves it.
package vhost
