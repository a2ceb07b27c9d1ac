//go:build linux

package uapi

import "strings"

// Halves splits the line of a call that slept as strace -f does, before the
// arguments that the kernel sets: "ppoll([{fd=3, events=POLLIN}], 1, NULL,
// NULL, 8 <unfinished ...>" and "<... ppoll resumed>) = 1 ...".
func Halves(line string) (first, second string) {
	name, _, _ := strings.Cut(line, "(")
	at := strings.LastIndex(line, ") = ")
	switch name {
	case "read", "epoll_wait", "epoll_pwait", "epoll_pwait2":
		at = strings.Index(line, ", ") + len(", ")
	}
	if at < len(name) {
		return line, ""
	}
	return line[:at] + " <unfinished ...>", "<... " + name + " resumed>" + line[at:]
}
