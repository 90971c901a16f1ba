// Package contract judges requests by Intercom's own OpenAPI file of version 2.15.
// It carries the file and a validator, so only tests import it.
package contract

import (
	_ "embed"
	"net/http"
	"net/url"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

//go:embed testdata/api.intercom.io-2.15.yaml
var file []byte

// The document itself is not validated: it has arrays without items and examples
// that do not fit.
var router = sync.OnceValues(func() (routers.Router, error) {
	document, err := openapi3.NewLoader().LoadFromData(file)
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(document)
})

// Load reads the file, which takes a second or more. Check does it by itself, the
// first time; a test that has little patience does it before.
func Load() error {
	_, err := router()
	return err
}

// Check reports what the file does not allow of a request: an operation that does
// not exist, a parameter, or the body. It consumes the body. The host does not
// matter.
func Check(r *http.Request) error {
	router, err := router()
	if err != nil {
		return err
	}
	r = r.Clone(r.Context())
	r.URL = &url.URL{Scheme: "https", Host: "api.intercom.io", Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	r.Host = r.URL.Host
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	})
}
