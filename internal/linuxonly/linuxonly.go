//go:build linux

// Package linuxonly has nothing and no file for another system. What imports it
// is refused there with the reason, and not for the first name that is missing.
package linuxonly
