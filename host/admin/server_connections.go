package admin

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// How many connections there may be. Each takes a file, and the database needs some, too.
const (
	mostConnections = 4096
	mostStrangers   = 256 // of those that may not call, and have not been told yet
)

// A boundedListener closes connections that are too many. Those that may not call take no
// place of those that may.
type boundedListener struct {
	net.Listener
	guard            *Guard
	known, strangers atomic.Int64
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		count, most := &l.known, int64(mostConnections)
		if !l.guard.knows(c.RemoteAddr()) {
			count, most = &l.strangers, mostStrangers
		}
		if count.Add(1) <= most {
			return &countedConn{Conn: c, gone: sync.OnceFunc(func() { count.Add(-1) })}, nil
		}
		count.Add(-1)
		_ = c.Close() // nothing was said on it
	}
}

// A countedConn is one of a boundedListener's.
type countedConn struct {
	net.Conn
	gone func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.gone()
	return c.Conn.Close()
}

// knows reports whether an address may call, or is that of a proxy that others call through.
func (g *Guard) knows(addr net.Addr) bool {
	peer, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false
	}
	ip := peer.Addr().Unmap().WithZone("")
	return ip.IsLoopback() || has(g.whitelist, ip) || has(g.proxies, ip)
}
