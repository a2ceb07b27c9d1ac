module github.com/efd-go/efd/internal/modcheck

go 1.26.0

require golang.org/x/mod v0.43.0
