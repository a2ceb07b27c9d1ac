//go:build linux

// Package uapi has the names of the kernel's user-space interface around
// eventfd, poll, select and epoll, and the way strace 6.1 prints them: flags,
// signals, errnos, timespecs, buffers, descriptor sets. It holds pure functions
// and static tables, imports nothing of the project, and what a program does
// not call the linker leaves out.
package uapi
