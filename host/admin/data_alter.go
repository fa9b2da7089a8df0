package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/brock-backup/brock/host/dgraph"
)

// An alteration is what /alter is asked for, in the names of Dgraph's JSON.
type alteration struct {
	Schema    string
	DropAll   bool
	DropAttr  string
	DropOp    string
	DropValue string
}

// alter answers POST /alter.
func (s *Server) alter(w http.ResponseWriter, r *http.Request) {
	if !allowMethod(w, r, http.MethodPost) {
		return
	}
	ns, err := namespace(r)
	if err == nil {
		err = knownParameters(r, "namespace", "runInBackground")
	}
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	data, release, err := s.change(w, r)
	if err != nil {
		refuseBody(w, err)
		return
	}
	defer release()
	op, err := parseAlteration(data)
	if err != nil {
		writeError(w, http.StatusOK, codeInvalidRequest, err)
		return
	}
	warnings, err := s.apply(r.Context(), ns, op)
	if err != nil {
		writeError(w, http.StatusOK, codeError, err)
		return
	}
	type result struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	answer := struct {
		Data       result          `json:"data"`
		Extensions *dataExtensions `json:"extensions,omitempty"`
	}{Data: result{"Success", "Done"}}
	if len(warnings) > 0 {
		answer.Extensions = &dataExtensions{Warnings: warnings}
	}
	writeJSON(w, http.StatusOK, answer)
}

// parseAlteration reads an alteration as JSON, or as the text of a schema. An unknown key is
// an error: what was meant might have been a drop.
func parseAlteration(data []byte) (*alteration, error) {
	if data = bytes.TrimSpace(data); !bytes.HasPrefix(data, []byte("{")) {
		return &alteration{Schema: string(data)}, nil
	}
	var op alteration
	dec := json.NewDecoder(bytes.NewReader(data))
	var fields map[string]json.RawMessage
	if err := dec.Decode(&fields); err != nil {
		return nil, fmt.Errorf("an alteration is the text of a schema, or JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("an alteration is one JSON object: there is more behind it")
	}
	for name, value := range fields {
		var to any
		switch strings.ToLower(strings.ReplaceAll(name, "_", "")) {
		case "schema":
			to = &op.Schema
		case "dropall":
			to = &op.DropAll
		case "dropattr":
			to = &op.DropAttr
		case "dropop":
			to = &op.DropOp
		case "dropvalue":
			to = &op.DropValue
		case "runinbackground":
			to = new(bool) // no index is built that could take its time
		default:
			return nil, hinted("there are schema, drop_all, drop_attr, drop_op and drop_value", "an alteration has no %q", cut(name))
		}
		if err := json.Unmarshal(value, to); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return &op, nil
}

// apply does the one thing that op asks for.
func (s *Server) apply(ctx context.Context, ns uint64, op *alteration) (warnings []string, err error) {
	kind := strings.ToUpper(op.DropOp)
	if kind == "NONE" {
		kind = ""
	}
	asked := 0
	for _, is := range []bool{strings.TrimSpace(op.Schema) != "", op.DropAll, op.DropAttr != "", kind != ""} {
		if is {
			asked++
		}
	}
	if asked != 1 {
		return nil, hinted("send schema, drop_all, drop_attr or drop_op, one in a request", "an alteration that asks for %d things", asked)
	}
	if op.DropValue != "" && kind != "ATTR" && kind != "TYPE" {
		return nil, hinted("it belongs to the drop_op ATTR or TYPE", "drop_value %q without its drop_op", cut(op.DropValue))
	}
	switch {
	case op.DropAll, kind == "ALL":
		return nil, s.dropAll(ctx, ns)
	case op.DropAttr != "":
		return nil, s.store().DropAttr(ctx, dgraph.Predicate{Namespace: ns, Name: op.DropAttr})
	case kind == "DATA":
		return nil, s.store().DropData(ctx, ns)
	case kind == "ATTR" || kind == "TYPE":
		return nil, s.dropNamed(ctx, kind, dgraph.Predicate{Namespace: ns, Name: op.DropValue})
	case kind != "":
		return nil, hinted("there are ALL, DATA, ATTR and TYPE", "there is no drop_op %q", cut(op.DropOp))
	}
	return s.alterSchema(ctx, ns, op.Schema)
}

// dropAll is for namespace 0 alone, as in Dgraph: it takes all of them.
func (s *Server) dropAll(ctx context.Context, ns uint64) error {
	if ns != 0 {
		return hinted("drop_op DATA empties one namespace", "drop_all in namespace %#x would drop all namespaces", ns)
	}
	return s.store().DropAll(ctx)
}

func (s *Server) dropNamed(ctx context.Context, kind string, name dgraph.Predicate) error {
	if name.Name == "" {
		return hinted("name it with drop_value", "drop_op %s without drop_value", kind)
	}
	if kind == "TYPE" {
		return s.store().DropType(ctx, name)
	}
	return s.store().DropAttr(ctx, name)
}

func (s *Server) alterSchema(ctx context.Context, ns uint64, text string) (warnings []string, err error) {
	predicates, types, err := dgraph.ParseSchemaText(ns, text)
	if err != nil {
		return nil, err
	}
	if err := s.store().Alter(ctx, predicates, types); err != nil {
		return nil, err
	}
	if names := indexed(predicates); len(names) > 0 {
		warnings = append(warnings, "directives are kept in the schema, but no keys are built for them here: "+
			strings.Join(names, ", ")+"; a Dgraph that gets this database has to build them anew")
	}
	return warnings, nil
}

// indexed names the predicates of a schema that want keys besides their data.
func indexed(predicates []dgraph.PredicateSchema) (names []string) {
	for _, p := range predicates {
		if p.Reserved() {
			continue
		}
		var of []string
		if len(p.Tokenizers) > 0 || p.Vector != "" {
			of = append(of, "@index")
		}
		if p.Reverse {
			of = append(of, "@reverse")
		}
		if p.Count {
			of = append(of, "@count")
		}
		if len(of) > 0 {
			names = append(names, p.Name+" "+strings.Join(of, " "))
		}
	}
	slices.Sort(names)
	const most = 10
	if n := len(names); n > most {
		names = append(names[:most], fmt.Sprintf("and %d more", n-most))
	}
	return names
}
