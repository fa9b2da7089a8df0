package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/brock-backup/brock/host/dgraph"
	"github.com/brock-backup/brock/host/store"
)

// NodeState is Dgraph's.
type NodeState struct {
	Instance, Address, Status, Group, Version *string
	Uptime, LastEcho                          *Int64
	Ongoing, Indexing, EeFeatures             *[]*string
}

// Health tells how the node is.
func (r *resolver) Health() *[]*NodeState {
	var all []NodeState
	for _, h := range r.a.node.Health() {
		all = append(all, NodeState{
			&h.Instance, &h.Address, &h.Status, &h.Group, &h.Version, new(Int64(h.Uptime)), new(Int64(h.LastEcho)),
			pointers(h.Ongoing), pointers(h.Indexing), pointers(h.EEFeatures),
		})
	}
	return pointers(all)
}

// MembershipState is Dgraph's, with lists where /state has objects.
type MembershipState struct {
	Counter                              *UInt64
	Groups                               *[]*ClusterGroup
	Zeros                                *[]*ClusterMember
	MaxUID, MaxNsID, MaxTxnTs, MaxRaftID *UInt64
	Removed                              *[]*ClusterMember
	CID                                  *string
	License                              *License // none: nobody needs one
	Namespaces                           *[]*UInt64
}

// License is Dgraph's.
type License struct {
	User     *string
	MaxNodes *UInt64
	ExpiryTs *Int64
	Enabled  *bool
}

// ClusterGroup is Dgraph's.
type ClusterGroup struct {
	ID                   *UInt64
	Members              *[]*ClusterMember
	Tablets              *[]*ClusterTablet
	SnapshotTs, Checksum *UInt64
}

// ClusterMember is Dgraph's Member.
type ClusterMember struct {
	ID, GroupID                   *UInt64
	Addr                          *string
	Leader, AmDead                *bool
	LastUpdate                    *UInt64
	ClusterInfoOnly, ForceGroupID *bool
}

// ClusterTablet is Dgraph's Tablet.
type ClusterTablet struct {
	GroupID          *UInt64
	Predicate        *string
	Force            *bool
	Space            *int32
	Remove, ReadOnly *bool
	MoveTs           *UInt64
}

// State tells which groups there are and what is in them.
func (r *resolver) State(ctx context.Context) (*MembershipState, error) {
	if err := operation(ctx); err != nil { // it may be large
		return nil, failed("state", err)
	}
	m := r.a.node.State()
	groups := []ClusterGroup{}
	for _, name := range slices.SortedFunc(maps.Keys(m.Groups), byNumber) {
		g := m.Groups[name]
		id, _ := strconv.ParseUint(name, 10, 32)
		tablets := []ClusterTablet{}
		for _, p := range slices.Sorted(maps.Keys(g.Tablets)) {
			t := g.Tablets[p]
			tablets = append(tablets, ClusterTablet{new(UInt64(t.GroupID)), &t.Predicate, &t.Force, new(int32), &t.Remove, &t.ReadOnly, new(UInt64(t.MoveTs))})
		}
		groups = append(groups, ClusterGroup{new(UInt64(id)), clusterMembers(g.Members), pointers(tablets), new(UInt64(g.SnapshotTs)), new(UInt64(g.Checksum))})
	}
	namespaces := []UInt64{}
	for _, p := range r.operations().Store.Schema() {
		if ns := UInt64(p.Namespace); !slices.Contains(namespaces, ns) {
			namespaces = append(namespaces, ns)
		}
	}
	return &MembershipState{
		Counter: new(UInt64(m.Counter)), Groups: pointers(groups), Zeros: clusterMembers(m.Zeros),
		MaxUID: new(UInt64(m.MaxUID)), MaxNsID: new(UInt64(m.MaxNsID)), MaxTxnTs: new(UInt64(m.MaxTxnTs)), MaxRaftID: new(UInt64(m.MaxRaftID)),
		Removed: pointers([]ClusterMember{}), CID: &m.CID, Namespaces: pointers(namespaces),
	}, nil
}

// byNumber is the order of decimal numbers.
func byNumber(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

func clusterMembers(members map[string]Member) *[]*ClusterMember {
	all := []ClusterMember{}
	for _, name := range slices.SortedFunc(maps.Keys(members), byNumber) {
		m := members[name]
		all = append(all, ClusterMember{
			new(UInt64(m.ID)), new(UInt64(m.GroupID)), &m.Addr, &m.Leader, &m.AmDead, new(UInt64(m.LastUpdate)), &m.ClusterInfoOnly, &m.ForceGroupID,
		})
	}
	return pointers(all)
}

// ConfigState is Dgraph's Config.
type ConfigState struct{ CacheMb *float64 }

// Config tells what a backup or restore may take for its buffers.
func (r *resolver) Config() *ConfigState {
	const standard = 256 << 20
	memory := cmp.Or(r.operations().Engine.Memory, standard)
	return &ConfigState{new(float64(memory) / (1 << 20))}
}

// MoveTabletInput is Dgraph's.
type MoveTabletInput struct {
	Namespace *UInt64
	Tablet    string
	GroupID   UInt64
}

// MoveTabletPayload is Dgraph's.
type MoveTabletPayload struct{ Response *Response }

// MoveTablet gives a predicate to another group.
func (r *resolver) MoveTablet(ctx context.Context, args struct{ Input MoveTabletInput }) (*MoveTabletPayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("moveTablet", err)
	}
	in := args.Input
	p := dgraph.Predicate{Namespace: uint64(value(in.Namespace)), Name: in.Tablet}
	s := r.operations().Store
	if !slices.ContainsFunc(s.Schema(), func(q store.PredicateState) bool { return q.Predicate == p }) {
		return nil, failed("moveTablet", fmt.Errorf("there is no tablet %s", p))
	}
	if !slices.ContainsFunc(s.State().Groups, func(g uint32) bool { return UInt64(g) == in.GroupID }) {
		return nil, failed("moveTablet", hinted("state { groups { id } } tells which there are", "there is no group %d", in.GroupID))
	}
	if err := s.Move(ctx, p, uint32(in.GroupID)); err != nil {
		return nil, failed("moveTablet", err)
	}
	r.a.log.Info("predicate moved", "predicate", p, "group", in.GroupID)
	return &MoveTabletPayload{success("Tablet %s moved to group %d", p, in.GroupID)}, nil
}

// AssignInput is Dgraph's.
type AssignInput struct {
	What string
	Num  UInt64
}

// AssignedIDs is Dgraph's.
type AssignedIDs struct{ StartID, EndID, ReadOnly *UInt64 }

// AssignPayload is Dgraph's.
type AssignPayload struct{ Response *AssignedIDs }

// mostAssigned keeps one request from using up what there is.
const mostAssigned = 1 << 32

// Assign reserves uids. Timestamps and namespaces the store gives out alone.
func (r *resolver) Assign(ctx context.Context, args struct{ Input AssignInput }) (*AssignPayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("assign", err)
	}
	in := args.Input
	switch {
	case in.What != "UID":
		return nil, failed("assign", hinted("what: UID is what can be assigned", "this server gives out its timestamps and namespaces itself"))
	case in.Num == 0 || in.Num > mostAssigned:
		return nil, failed("assign", fmt.Errorf("num is from 1 to %d", uint64(mostAssigned)))
	}
	first, err := r.operations().Store.NewUIDs(int(in.Num)) //nolint:contextcheck // it has none to give
	if err != nil {
		return nil, failed("assign", err)
	}
	return &AssignPayload{&AssignedIDs{StartID: new(UInt64(first)), EndID: new(UInt64(first) + in.Num - 1), ReadOnly: new(UInt64)}}, nil
}

// NamespacePayload is Dgraph's.
type NamespacePayload struct {
	NamespaceID *UInt64
	Message     *string
}

// DeleteNamespace deletes a namespace.
func (r *resolver) DeleteNamespace(ctx context.Context, args struct {
	Input struct{ NamespaceID int32 }
},
) (*NamespacePayload, error) {
	if err := changing(ctx); err != nil {
		return nil, failed("deleteNamespace", err)
	}
	id := args.Input.NamespaceID
	if id <= 0 {
		return nil, failed("deleteNamespace", errors.New("cannot delete default namespace"))
	}
	if err := r.operations().Store.DropNamespace(ctx, uint64(id)); err != nil {
		return nil, failed("deleteNamespace", err)
	}
	return &NamespacePayload{new(UInt64(id)), new("Deleted namespace successfully")}, nil
}
