//go:build linux && !(amd64 || 386 || arm || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le || s390x)

package scenario

// The generic table has ppoll only.
const nrPoll = -1
