package transport

import (
	"bytes"
	"encoding/json"
	"sync"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// maxPooledBuffer keeps one huge response from staying in the pool.
const maxPooledBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func getBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxPooledBuffer {
		b.Reset()
		buffers.Put(b)
	}
}

// writeResponse appends a response as JSON. The executor's data is JSON
// already: the plain case copies it instead of having encoding/json scan and
// copy it twice more.
//
// gqlgen writes strings byte by byte, so text that is not UTF-8 would come out
// as such, and a websocket client must fail its connection on it (RFC 6455
// §8.1); such bytes become U+FFFD.
func writeResponse(b *bytes.Buffer, r *graphql.Response) error {
	if len(r.Errors) == 0 && len(r.Extensions) == 0 && len(r.Data) > 0 &&
		r.Label == "" && r.Path == nil && r.HasNext == nil {
		b.WriteString(`{"data":`)
		writeValid(b, r.Data)
		b.WriteByte('}')
		return nil
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	writeValid(b, data)
	return nil
}

// writeErrors appends a list of errors as JSON.
func writeErrors(b *bytes.Buffer, errs gqlerror.List) error {
	data, err := json.Marshal(errs)
	if err != nil {
		return err
	}
	writeValid(b, data)
	return nil
}

// writeRequestErrors appends the response to a request that was never
// executed. It has no data entry, which [graphql.Response] cannot leave out.
func writeRequestErrors(b *bytes.Buffer, errs gqlerror.List) error {
	b.WriteString(`{"errors":`)
	if err := writeErrors(b, errs); err != nil {
		return err
	}
	b.WriteByte('}')
	return nil
}

// writeString appends a string as JSON.
func writeString(b *bytes.Buffer, s string) {
	data, _ := json.Marshal(s) // a string never fails
	b.Write(data)
}

func writeValid(b *bytes.Buffer, data []byte) {
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	b.Write(data)
}

// codedError makes an error of the transport's own, with its stable code.
func codedError(code, text string) *gqlerror.Error {
	return &gqlerror.Error{Message: text, Extensions: map[string]any{"code": code}}
}
