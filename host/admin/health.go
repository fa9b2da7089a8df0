package admin

import (
	"net/http"
	"strconv"
	"time"
)

// A Node is who answers for a running host, and what it answers about itself.
type Node struct {
	Operations *Operations
	ID         string // of the database: state calls it cid
	Address    string // where it listens
	Version    string // of the program
	Started    time.Time
}

// A NodeHealth is an element of what Dgraph answers to /health.
type NodeHealth struct {
	Instance    string   `json:"instance"`
	Address     string   `json:"address"`
	Status      string   `json:"status"`
	Group       string   `json:"group"`
	Version     string   `json:"version"`
	Uptime      int64    `json:"uptime"`   // seconds
	LastEcho    int64    `json:"lastEcho"` // seconds since 1970
	Ongoing     []string `json:"ongoing"`  // opBackup, opRestore
	Indexing    []string `json:"indexing"`
	EEFeatures  []string `json:"ee_features"`
	MaxAssigned uint64   `json:"max_assigned"`
}

// Health tells how the node is. It is the only one, whatever groups there are.
func (n *Node) Health() []NodeHealth {
	state := n.Operations.Store.State()
	group := "1"
	if len(state.Groups) > 0 {
		group = strconv.FormatUint(uint64(state.Groups[0]), 10)
	}
	now := time.Now()
	all := []NodeHealth{{
		Instance: "alpha", Address: n.Address, Status: "healthy", Group: group, Version: n.Version,
		Uptime: int64(now.Sub(n.Started).Seconds()), LastEcho: now.Unix(),
		Ongoing: append([]string{}, n.Operations.Ongoing()...), Indexing: []string{},
		EEFeatures: []string{"backup_restore"}, MaxAssigned: state.MaxTs,
	}}
	if n.Operations.Store.Failure() != nil {
		all[0].Status = "unhealthy"
	}
	return all
}

// What Dgraph says in plain text while it takes no requests, and what we do when nothing can be
// written any more: the log has more.
const (
	textFailed   = "the server must be started again: nothing can be written"
	textNotReady = "Please retry again, server is not ready to accept requests"
	textDraining = "the server is in draining mode and client requests will only be allowed after exiting the mode " +
		" by sending a GraphQL draining(enable: false) mutation to /admin"
)

// health answers GET /health. With ?live it says that the process lives, whatever it
// may be doing.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	if !allowMethod(w, r, http.MethodGet) {
		return
	}
	if _, live := r.URL.Query()["live"]; !live {
		text := ""
		switch {
		case s.stopping.Load():
			text = textNotReady
		case s.node.Operations.Store.Failure() != nil:
			text = textFailed
		case s.node.Operations.Store.Draining():
			text = textDraining
		}
		if text != "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(text))
			return
		}
	}
	writeJSON(w, http.StatusOK, s.node.Health())
}
