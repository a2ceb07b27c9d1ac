//go:build linux

// Package uapi has the names of the kernel's user-space interface around
// eventfd, poll, select and epoll, and the way strace 6.1 prints them: flags,
// signals, errnos, timespecs, buffers, descriptor sets. It holds pure functions
// and static tables, imports no package of the project, and the linker leaves
// out the unused functions.
package uapi
