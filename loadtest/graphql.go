package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// httpClient keeps its connections, as runtimes and desks do.
var httpClient = &http.Client{
	Timeout: 30 * time.Second,
	Transport: &http.Transport{
		MaxIdleConns: 1_000, MaxIdleConnsPerHost: 500, IdleConnTimeout: time.Minute,
		DisableCompression: true, // answers are short; asking for it only adds a header
	},
}

// post sends JSON and gives the answer, which must have the status 200.
func post(ctx context.Context, url, authorization string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: %s", response.StatusCode, answer)
	}
	return answer, nil
}

// get reads what must be answered with the status 200.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := httpClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, answer)
	}
	return answer, err
}

type vars map[string]any

// operation is the body of a GraphQL request.
func operation(query string, variables vars) []byte {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return body
}

// caller calls GraphQL with a credential.
type caller struct{ url, authorization string }

func (c caller) do(ctx context.Context, query string, variables vars, into any) error {
	answer, err := post(ctx, c.url+"/graphql", c.authorization, operation(query, variables))
	if err != nil {
		return err
	}
	var envelope struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return err
	}
	if len(envelope.Errors) > 0 {
		return fmt.Errorf("%s: %s", envelope.Errors[0].Extensions.Code, envelope.Errors[0].Message)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(envelope.Data, into)
}
