package transport

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// answer is what came back over HTTP.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request; headers are name, value, name, value…
func (s *service) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, reader)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := s.Client().Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.True(t, utf8.Valid(data))
	return answer{response.StatusCode, response.Header, string(data)}
}

func TestPost(t *testing.T) {
	t.Parallel()
	s := start(t, Config{BodyLimit: 1000, Introspection: true})
	const json = "application/json"
	const modern = "application/graphql-response+json"
	hello := `{"query":"{ hello }"}`
	data := `{"data":{"hello":"hello"}}`
	for name, test := range map[string]struct {
		contentType, accept, body string
		status                    int
		answerType                string
		want                      string // JSON, or the code of the first error
	}{
		"plain":                       {json, "", hello, 200, json, data},
		"accepts anything":            {json, "*/*", hello, 200, json, data},
		"accepts any application":     {json, "application/*", hello, 200, json, data},
		"a browser":                   {json, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", hello, 200, json, data},
		"accepts JSON":                {json, json, hello, 200, json, data},
		"accepts the modern type":     {json, modern, hello, 200, modern, data},
		"accepts both":                {json, json + ", " + modern, hello, 200, modern, data},
		"prefers JSON":                {json, json + ", " + modern + ";q=0.9", hello, 200, json, data},
		"prefers the modern type":     {json, modern + ", " + json + ";q=0.9", hello, 200, modern, data},
		"modern type or else":         {json, modern + ", */*", hello, 200, modern, data},
		"anything but JSON":           {json, "*/*, application/json;q=0", hello, 200, modern, data},
		"accepts with a charset":      {json, modern + "; charset=utf-8", hello, 200, modern, data},
		"accepts neither":             {json, "text/plain", hello, 406, json, "UNSUPPORTED"},
		"accepts nothing":             {json, "*/*;q=0", hello, 406, json, "UNSUPPORTED"},
		"unreadable Accept":           {json, ";;;", hello, 406, json, "UNSUPPORTED"},
		"content type with charset":   {"application/json; charset=UTF-8", "", hello, 200, json, data},
		"content type, other charset": {"application/json; charset=latin1", "", hello, 415, json, "UNSUPPORTED"},
		"no content type":             {"", "", hello, 415, json, "UNSUPPORTED"},
		"a form's content type":       {"application/x-www-form-urlencoded", "", "query=%7Bhello%7D", 415, json, "UNSUPPORTED"},
		"text/plain, as forms can":    {"text/plain", "", hello, 415, json, "UNSUPPORTED"},
		"multipart":                   {"multipart/form-data; boundary=x", "", "--x--", 415, json, "UNSUPPORTED"},
		"no body":                     {json, "", "", 400, json, "INVALID_INPUT"},
		"not JSON":                    {json, "", `{"query":`, 400, json, "INVALID_INPUT"},
		"more than one document":      {json, "", hello + hello, 400, json, "INVALID_INPUT"},
		"a batch":                     {json, "", "[" + hello + "]", 400, json, `{"errors":[{"message":"a list of requests is not supported; send one request at a time","extensions":{"code":"INVALID_INPUT"}}]}`},
		"a string":                    {json, "", `"{ hello }"`, 400, json, "INVALID_INPUT"},
		"no query":                    {json, "", `{"operationName":"x"}`, 400, json, `{"errors":[{"message":"query is missing","extensions":{"code":"INVALID_INPUT"}}]}`},
		"query is null":               {json, "", `{"query":null}`, 400, json, "INVALID_INPUT"},
		"query in the wrong case":     {json, "", `{"Query":"{ hello }"}`, 400, json, "INVALID_INPUT"},
		"query is a number":           {json, "", `{"query":1}`, 400, json, "INVALID_INPUT"},
		"variables are a list":        {json, "", `{"query":"{ hello }","variables":[]}`, 400, json, "INVALID_INPUT"},
		"variables are a string":      {json, "", `{"query":"{ hello }","variables":"{}"}`, 400, json, "INVALID_INPUT"},
		"extensions are a list":       {json, "", `{"query":"{ hello }","extensions":[]}`, 400, json, "INVALID_INPUT"},
		"operationName is a number":   {json, "", `{"query":"{ hello }","operationName":0}`, 400, json, "INVALID_INPUT"},
		"all optional parts null":     {json, "", `{"query":"{ hello }","variables":null,"operationName":null,"extensions":null,"more":1}`, 200, json, data},
		"too large":                   {json, "", `{"query":"{ hello } #` + strings.Repeat("x", 1000) + `"}`, 413, json, `{"errors":[{"message":"the body is over the limit of 1000 bytes","extensions":{"code":"LIMIT_REACHED"}}]}`},
		"empty query":                 {json, "", `{"query":""}`, 200, json, "GRAPHQL_VALIDATION_FAILED"},
		"syntax error":                {json, json, `{"query":"{"}`, 200, json, "GRAPHQL_PARSE_FAILED"},
		"syntax error, modern":        {json, modern, `{"query":"{"}`, 400, modern, "GRAPHQL_PARSE_FAILED"},
		"validation error":            {json, json, `{"query":"{ nothing }"}`, 200, json, "GRAPHQL_VALIDATION_FAILED"},
		"validation error, modern":    {json, modern, `{"query":"{ nothing }"}`, 400, modern, "GRAPHQL_VALIDATION_FAILED"},
		"wrong variable, modern":      {json, modern, `{"query":"query($n: String!) { hello(name: $n) }","variables":{"n":null}}`, 400, modern, "GRAPHQL_VALIDATION_FAILED"},
		"resolver error, modern":      {json, modern, `{"query":"{ fail }"}`, 200, modern, `{"errors":[{"message":"it failed","path":["fail"],"locations":[{"line":1,"column":3}]}],"data":{"fail":null}}`},
		"mutation":                    {json, "", `{"query":"mutation { publish(topic: \"x\", text: \"\") }"}`, 200, json, `{"data":{"publish":0}}`},
		"subscription":                {json, "", `{"query":"subscription { ticks(topic: \"x\") { n } }"}`, 406, json, "UNSUPPORTED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			headers := []string{}
			if test.contentType != "" {
				headers = append(headers, "Content-Type", test.contentType)
			}
			if test.accept != "" {
				headers = append(headers, "Accept", test.accept)
			}
			got := s.do(t, http.MethodPost, "/", test.body, headers...)
			require.Equal(t, test.status, got.status, got.body)
			require.Equal(t, test.answerType+"; charset=utf-8", got.header.Get("Content-Type"))
			require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			if strings.HasPrefix(test.want, "{") {
				require.JSONEq(t, test.want, got.body)
				return
			}
			require.Equal(t, test.want, code(t, got.body))
			require.NotContains(t, got.body, `"data"`, "nothing was executed")
		})
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for name, test := range map[string]struct {
		query  url.Values
		status int
		want   string
	}{
		"query":                {url.Values{"query": {"{ hello }"}}, 200, `{"data":{"hello":"hello"}}`},
		"with variables":       {url.Values{"query": {"query A($n: String) { hello(name: $n) } query B { fail }"}, "variables": {`{"n":"you"}`}, "operationName": {"A"}, "extensions": {`{"x":1}`}}, 200, `{"data":{"hello":"hello you"}}`},
		"no query":             {url.Values{}, 400, "INVALID_INPUT"},
		"variables are a list": {url.Values{"query": {"{ hello }"}, "variables": {"[]"}}, 400, "INVALID_INPUT"},
		"variables not JSON":   {url.Values{"query": {"{ hello }"}, "variables": {"{"}}, 400, "INVALID_INPUT"},
		"two variables":        {url.Values{"query": {"{ hello }"}, "variables": {"{}{}"}}, 400, "INVALID_INPUT"},
		"extensions not JSON":  {url.Values{"query": {"{ hello }"}, "extensions": {"x"}}, 400, "INVALID_INPUT"},
		"mutation":             {url.Values{"query": {`mutation { publish(topic: "x", text: "") }`}}, 405, "UNSUPPORTED"},
		"subscription":         {url.Values{"query": {`subscription { ticks(topic: "x") { n } }`}}, 406, "UNSUPPORTED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.do(t, http.MethodGet, "/?"+test.query.Encode(), "")
			require.Equal(t, test.status, got.status, got.body)
			if test.status == http.StatusMethodNotAllowed {
				require.Equal(t, "POST", got.header.Get("Allow"))
			}
			if strings.HasPrefix(test.want, "{") {
				require.JSONEq(t, test.want, got.body)
				return
			}
			require.Equal(t, test.want, code(t, got.body))
		})
	}
	t.Run("malformed URL", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 400, s.do(t, http.MethodGet, "/?query=%zz", "").status)
	})
}

func TestOtherMethods(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead} {
		got := s.do(t, method, "/?query={hello}", "", "Content-Type", "application/json")
		require.Equal(t, http.StatusMethodNotAllowed, got.status, method)
		require.Equal(t, "GET, POST", got.header.Get("Allow"))
	}
	got := s.do(t, http.MethodOptions, "/", "")
	require.Equal(t, http.StatusNoContent, got.status)
	require.Equal(t, "GET, POST", got.header.Get("Allow"))
}

// TestTextThatIsNotUTF8 must come out as valid UTF-8 whatever a resolver returns.
func TestTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	got := s.do(t, http.MethodPost, "/", "{\"query\":\"query($n: String) { hello(name: $n) }\",\"variables\":{\"n\":\"\xff\"}}", "Content-Type", "application/json")
	require.JSONEq(t, `{"data":{"hello":"hello `+"\uFFFD"+`"}}`, got.body)
}
