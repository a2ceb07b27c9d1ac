//go:build linux && !(amd64 || s390x || 386 || arm || mips || mipsle || mips64 || mips64le || ppc64 || ppc64le)

package scenario

// The generic table has pselect6 only.
const nrSelect = -1
