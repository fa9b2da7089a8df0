package admin

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// A Membership is what Dgraph answers to /state, in its JSON: 64-bit numbers are strings.
type Membership struct {
	Counter   uint64                `json:"counter,string"`
	Groups    map[string]StateGroup `json:"groups"`
	Zeros     map[string]Member     `json:"zeros"` // none: the host numbers for itself
	MaxUID    uint64                `json:"maxUID,string"`
	MaxTxnTs  uint64                `json:"maxTxnTs,string"`
	MaxNsID   uint64                `json:"maxNsID,string"`
	MaxRaftID uint64                `json:"maxRaftId,string"`
	Removed   []Member              `json:"removed"`
	CID       string                `json:"cid"`
}

// A StateGroup is a group, who serves it and what is in it.
type StateGroup struct {
	Members      map[string]Member `json:"members"`
	Tablets      map[string]Tablet `json:"tablets"` // by namespace and predicate, as Dgraph 23 writes them
	SnapshotTs   uint64            `json:"snapshotTs,string"`
	Checksum     uint64            `json:"checksum,string"`
	CheckpointTs uint64            `json:"checkpointTs,string"`
}

// A Member is a node of a group.
type Member struct {
	ID              uint64 `json:"id,string"`
	GroupID         uint32 `json:"groupId"`
	Addr            string `json:"addr"`
	Leader          bool   `json:"leader"`
	AmDead          bool   `json:"amDead"`
	LastUpdate      uint64 `json:"lastUpdate,string"`
	Learner         bool   `json:"learner"`
	ClusterInfoOnly bool   `json:"clusterInfoOnly"`
	ForceGroupID    bool   `json:"forceGroupId"`
}

// A Tablet is a predicate in its group.
type Tablet struct {
	GroupID           uint32 `json:"groupId"`
	Predicate         string `json:"predicate"`
	Force             bool   `json:"force"`
	OnDiskBytes       uint64 `json:"onDiskBytes,string"`
	Remove            bool   `json:"remove"`
	ReadOnly          bool   `json:"readOnly"`
	MoveTs            uint64 `json:"moveTs,string"`
	UncompressedBytes uint64 `json:"uncompressedBytes,string"`
}

// State tells which groups there are and what is in them. The node is the leader of each.
func (n *Node) State() *Membership {
	state := n.Operations.Store.State()
	m := &Membership{
		Counter: state.MaxTs, Groups: map[string]StateGroup{}, Zeros: map[string]Member{},
		MaxUID: state.MaxUID, MaxTxnTs: state.MaxTs, MaxNsID: state.MaxNs, MaxRaftID: 1,
		Removed: []Member{}, CID: n.ID,
	}
	for _, g := range state.Groups {
		m.Groups[decimal(g)] = StateGroup{
			Members: map[string]Member{"1": {
				ID: 1, GroupID: g, Addr: n.Address, Leader: true, LastUpdate: uint64(n.Started.Unix()),
			}},
			Tablets: map[string]Tablet{},
		}
	}
	for _, p := range n.Operations.Store.Schema() {
		if g, ok := m.Groups[decimal(p.Group)]; ok {
			name := p.String()
			g.Tablets[name] = Tablet{GroupID: p.Group, Predicate: name}
		}
	}
	return m
}

// in leaves of the tablets only those of a namespace.
func (m *Membership) in(namespace uint64) {
	for _, g := range m.Groups {
		for name := range g.Tablets {
			if !strings.HasPrefix(name, dgraph.Predicate{Namespace: namespace}.String()) {
				delete(g.Tablets, name)
			}
		}
	}
}

func decimal(group uint32) string { return strconv.FormatUint(uint64(group), 10) }

// state answers GET /state, with all namespaces, or the one that is asked for.
func (s *Server) state(w http.ResponseWriter, r *http.Request) {
	if !allowMethod(w, r, http.MethodGet) {
		return
	}
	m := s.node.State()
	if r.URL.Query().Has("namespace") {
		ns, err := namespace(r)
		if err != nil {
			writeError(w, http.StatusOK, codeInvalidRequest, err)
			return
		}
		m.in(ns)
	}
	writeJSON(w, http.StatusOK, m)
}
