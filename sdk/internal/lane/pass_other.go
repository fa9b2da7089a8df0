//go:build !unix

package lane

import (
	"errors"
	"net"
)

// There are no lanes here.

func greet(*net.UnixConn) error { return errors.ErrUnsupported }

func greeted(*net.UnixConn) bool { return false }

func handOver(*net.UnixConn, uint64) (*net.UnixConn, error) { return nil, errors.ErrUnsupported }

func takeOver(*net.UnixConn) (uint64, *net.UnixConn, error) { return 0, nil, errors.ErrUnsupported }
