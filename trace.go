package efd

import "sync/atomic"

// tracing is nil while there is no tracer.
var tracing atomic.Pointer[tracers]

type tracers struct{}
