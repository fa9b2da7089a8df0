// Package socket makes the sockets that only a host and its plugin have. They have
// no name by which anybody else could reach them.
package socket
