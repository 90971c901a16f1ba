package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/99designs/gqlgen/graphql"
)

// The message types of graphql-transport-ws.
const (
	msgConnectionInit = "connection_init"
	msgConnectionAck  = "connection_ack"
	msgPing           = "ping"
	msgPong           = "pong"
	msgSubscribe      = "subscribe"
	msgNext           = "next"
	msgError          = "error"
	msgComplete       = "complete"
)

// message is one message of a client, checked against the protocol.
type message struct {
	kind    string
	id      string
	payload json.RawMessage    // an object, or nil when absent or null
	params  *graphql.RawParams // of a subscribe
}

// parseMessage reads one text message. Everything it refuses, the protocol's
// reference implementation refuses too (graphql-ws 6, validateMessage).
func parseMessage(data []byte) (message, error) {
	fields, err := decodeObject(data)
	if err != nil {
		return message{}, err
	}
	m := message{}
	if err := json.Unmarshal(fields["type"], &m.kind); err != nil {
		return message{}, errors.New("type must be a string")
	}
	if !isNull(fields["payload"]) {
		m.payload = fields["payload"]
		if m.payload[0] != '{' {
			return message{}, errors.New("payload must be an object")
		}
	}
	switch m.kind {
	case msgConnectionInit, msgPing, msgPong:
		return m, nil
	case msgSubscribe, msgComplete:
		if err := json.Unmarshal(fields["id"], &m.id); err != nil || m.id == "" {
			return message{}, errors.New("id must be a string that is not empty")
		}
	default:
		return message{}, errors.New("not a message that a client sends")
	}
	if m.kind == msgSubscribe {
		if m.params, err = decodeParams(m.payload); err != nil {
			return message{}, err
		}
		m.payload = nil
	}
	return m, nil
}

// decodeParams reads the parameters of a GraphQL request from a JSON object:
// query is a string, operationName a string, variables and extensions objects;
// all but query may be null or absent, and query too when extensions name a
// persisted query. Unknown members are ignored, as the GraphQL over HTTP
// specification asks. Numbers keep their digits (json.Number).
func decodeParams(data []byte) (*graphql.RawParams, error) {
	fields, err := decodeObject(data)
	if err != nil {
		return nil, err
	}
	params := &graphql.RawParams{}
	if params.Extensions, err = decodeMap("extensions", fields["extensions"]); err != nil {
		return nil, err
	}
	if params.Variables, err = decodeMap("variables", fields["variables"]); err != nil {
		return nil, err
	}
	if !isNull(fields["operationName"]) {
		if err := json.Unmarshal(fields["operationName"], &params.OperationName); err != nil {
			return nil, errors.New("operationName must be a string")
		}
	}
	if isNull(fields["query"]) {
		if params.Extensions["persistedQuery"] == nil {
			return nil, errors.New("query is missing")
		}
		return params, nil
	}
	if err := json.Unmarshal(fields["query"], &params.Query); err != nil {
		return nil, errors.New("query must be a string")
	}
	return params, nil
}

// decodeObject splits a JSON object into its members. encoding/json matches
// struct fields without regard to case; a map keeps "Type" and "type" apart.
func decodeObject(data []byte) (map[string]json.RawMessage, error) {
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) > 0 && data[0] == '[' {
		return nil, errBatch
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return nil, errors.New("not a JSON object")
	}
	return fields, nil
}

var errBatch = errors.New("a list of requests is not supported; send one request at a time")

// decodeMap reads a JSON object of any members; null and absent give nil.
func decodeMap(name string, data json.RawMessage) (map[string]any, error) {
	if isNull(data) {
		return nil, nil
	}
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%s must be an object", name)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s must be one object", name)
	}
	return m, nil
}

func isNull(data json.RawMessage) bool { return len(data) == 0 || string(data) == "null" }
