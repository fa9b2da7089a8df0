package store

import (
	"slices"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// What Dgraph has in every namespace, in the forms of its versions.
const dgraphsOwn = `dgraph.type: [string] @index(exact) .
dgraph.drop.op: string .
dgraph.graphql.schema: string .
dgraph.graphql.xid: string @index(exact) @upsert .
dgraph.graphql.p_query: string .
dgraph.graphql.p_query: string @index(sha256) .
dgraph.graphql.p_sha256hash: string @index(exact) .
dgraph.graphql.schema_created_at: datetime .
dgraph.graphql.schema_history: string .
dgraph.cors: [string] @index(exact) @upsert .
dgraph.namespace.id: int @index(int) @upsert @unique .
dgraph.namespace.name: string @index(exact) @upsert @unique .
dgraph.xid: string @index(exact) @upsert .
dgraph.xid: string @index(exact) @upsert @unique .
dgraph.password: password .
dgraph.user.group: [uid] @reverse .
dgraph.acl.rule: [uid] .
dgraph.rule.predicate: string @index(exact) @upsert .
dgraph.rule.permission: int .`

// own holds the texts of Dgraph's own predicates.
var own = func() map[string]bool {
	texts := map[string]bool{}
	for line := range strings.Lines(dgraphsOwn) {
		predicates, _, err := dgraph.ParseSchemaText(0, line)
		if err != nil {
			panic(err)
		}
		texts[predicates[0].Text()] = true
	}
	return texts
}()

// ownPredicate reports whether p is one of the database's own, and not changed.
func (s *Store) ownPredicate(p *dgraph.PredicateSchema) bool {
	if !p.Reserved() {
		return false
	}
	was, bare := s.schema.predicates[p.Predicate], *p
	bare.Namespace = 0
	return own[bare.Text()] || p.Text() == was.Text()
}

// ownType does the same for a type.
func (s *Store) ownType(t *dgraph.TypeSchema) bool {
	if !t.Reserved() {
		return false
	}
	was := s.schema.types[t.Predicate]
	reserved := func(field string) bool { return dgraph.Predicate{Name: field}.Reserved() }
	return t.Text() == was.Text() || len(t.Fields) > 0 && !slices.ContainsFunc(t.Fields, func(f string) bool { return !reserved(f) })
}
