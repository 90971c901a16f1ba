package apptest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Service is a running Handoff as its callers see it. Its address may change when
// it is started again.
type Service struct {
	URL        string
	AdminToken string

	http *http.Client

	mu       sync.Mutex
	answered []Exchange
	keep     bool
}

// Exchange is a GraphQL operation with its answer, byte by byte.
type Exchange struct {
	Token  string // of the caller
	Query  string
	Answer []byte
}

func newService(adminToken string) *Service {
	return &Service{AdminToken: adminToken, http: &http.Client{
		Timeout:   Patience,
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: Patience},
	}}
}

// at says where the service is now.
func (s *Service) at(url string) {
	s.http.CloseIdleConnections() // they belong to the process before
	s.URL = url
}

// KeepAnswers makes the service remember every GraphQL answer from now on.
func (s *Service) KeepAnswers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = true
}

// Answers are those kept so far.
func (s *Service) Answers() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Exchange(nil), s.answered...)
}

// TryGet reads an address of the service.
func (s *Service) TryGet(path string) (status int, body string, err error) {
	status, answer, err := s.send(http.MethodGet, path, "", nil)
	return status, string(answer), err
}

// Get reads an address of the service that must answer 200.
func (s *Service) Get(t testing.TB, path string) string { return s.GetWith(t, path, "") }

// GetWith is [Service.Get] with a credential.
func (s *Service) GetWith(t testing.TB, path, token string) string {
	t.Helper()
	status, body, err := s.send(http.MethodGet, path, token, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, string(body))
	return string(body)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

func (s *Service) send(method, path, token string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, answer, err
}

// Administrator calls with the administrator token.
func (s *Service) Administrator(t testing.TB) *Client { return s.As(t, s.AdminToken) }

// As calls with a credential.
func (s *Service) As(t testing.TB, token string) *Client {
	return &Client{t: t, service: s, Token: token}
}

// Vars are the variables of an operation, or the input of a mutation.
type Vars map[string]any

// with gives these and more; more wins.
func (v Vars) with(more Vars) Vars {
	all := Vars{}
	for _, from := range []Vars{v, more} {
		for name, value := range from {
			all[name] = value
		}
	}
	return all
}

// Client calls GraphQL over HTTP with one credential.
type Client struct {
	t       testing.TB
	service *Service
	Token   string
}

// APIError is the first error of a GraphQL answer.
type APIError struct {
	Code, Field, State, Message string
}

// Error gives code and message.
func (e *APIError) Error() string {
	return fmt.Sprintf("%s: %s: %s", e.Code, e.Field, e.Message)
}

// CodeOf is the code of a GraphQL error; "" for none, the error's text for others.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*APIError](err); ok {
		return e.Code
	}
	return err.Error()
}

// Try runs an operation and decodes its data; into may be nil. Errors of the API
// are *[APIError].
func (c *Client) Try(query string, variables Vars, into any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		return err
	}
	status, answer, err := c.service.send(http.MethodPost, "/graphql", c.Token, body)
	if err != nil {
		return err
	}
	c.service.remember(Exchange{Token: c.Token, Query: query, Answer: answer})
	var decoded struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code, Field, State string }
		}
	}
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return fmt.Errorf("status %d: %.200s", status, answer)
	}
	if len(decoded.Errors) > 0 {
		e := decoded.Errors[0]
		return &APIError{Code: e.Extensions.Code, Field: e.Extensions.Field, State: e.Extensions.State, Message: e.Message}
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(decoded.Data, into)
}

func (s *Service) remember(e Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep {
		s.answered = append(s.answered, e)
	}
}

// Do is [Client.Try] for an operation that must succeed.
func (c *Client) Do(query string, variables Vars, into any) {
	c.t.Helper()
	require.NoError(c.t, c.Try(query, variables, into), query)
}

// Human is the answer to a REST call of a webhook desk.
type Human struct {
	Status  int
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// The REST addresses of a webhook desk.
const (
	ReceivePath = "/v1/human/message/receive"
	EndPath     = "/v1/human/close"
)

// TryHuman makes a REST call of a webhook desk with an Agent key. The body is sent
// as it is when it is a string, as JSON otherwise.
func (s *Service) TryHuman(path, key string, body any) (Human, error) {
	raw, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			return Human{}, err
		}
		raw = string(encoded)
	}
	status, answer, err := s.send(http.MethodPost, path, key, []byte(raw))
	if err != nil {
		return Human{}, err
	}
	h := Human{Status: status, Code: -1}
	if err := json.Unmarshal(answer, &h); err != nil {
		return h, fmt.Errorf("status %d: %.200s", status, answer)
	}
	return h, nil
}

// Human is [Service.TryHuman] for a call that must be answered, whatever with.
func (s *Service) Human(t testing.TB, path, key string, body any) Human {
	t.Helper()
	h, err := s.TryHuman(path, key, body)
	require.NoError(t, err)
	return h
}

// Taken is the answer to a REST call that was accepted.
var Taken = Human{Status: http.StatusOK, Code: 0, Message: "success"}

// timestamp gives Unix milliseconds that differ at every call, as those of a desk
// should.
func timestamp() int64 { return timestamps.Add(1) }

var timestamps = func() *atomic.Int64 {
	var n atomic.Int64
	n.Store(time.Now().UnixMilli())
	return &n
}()
