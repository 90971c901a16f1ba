// Package ide serves GraphiQL, a page to write and run GraphQL in, with
// everything it needs embedded: it works without a network.
//
// The files in dist are built from build (npm ci && npm run build there) and
// committed, so that building this program needs no Node.
package ide

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"time"
)

var (
	//go:embed dist/ide.js dist/ide.css dist/LICENSES.txt page.css
	assets embed.FS

	//go:embed index.gohtml
	indexSource string
	index       = template.Must(template.New("index").Parse(indexSource))
)

// policy lets the page load and call nothing but its own origin, be framed by
// nobody, and run no inline script. Inline styles are allowed: a dialog of
// GraphiQL's writes a <style> element to keep the page behind it from scrolling.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type asset struct {
	contentType string
	content     []byte
	etag        string
}

// Handler serves the page at "/" and its assets beside it; mount it with
// http.StripPrefix at a path that ends in a slash. The page sends queries,
// mutations and, over a websocket, subscriptions to endpoint, a URL of the same
// origin as a rule ("/graphql").
//
//	mux.Handle("/ide/", http.StripPrefix("/ide", ide.Handler("/graphql")))
func Handler(endpoint string) http.Handler {
	var page bytes.Buffer
	if err := index.Execute(&page, endpoint); err != nil {
		panic(err) // the template is a constant and takes any string
	}
	byPath := map[string]asset{
		"/":             newAsset("text/html; charset=utf-8", page.Bytes()),
		"/ide.js":       embedded("text/javascript; charset=utf-8", "dist/ide.js"),
		"/ide.css":      embedded("text/css; charset=utf-8", "dist/ide.css"),
		"/page.css":     embedded("text/css; charset=utf-8", "page.css"),
		"/LICENSES.txt": embedded("text/plain; charset=utf-8", "dist/LICENSES.txt"),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := byPath[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache") // ask again, and hear 304
		h.Set("ETag", a.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
	})
}

func embedded(contentType, name string) asset {
	content, err := fs.ReadFile(assets, name)
	if err != nil {
		panic(err) // go:embed has put it there
	}
	return newAsset(contentType, content)
}

func newAsset(contentType string, content []byte) asset {
	sum := sha256.Sum256(content)
	return asset{contentType, content, `"` + hex.EncodeToString(sum[:12]) + `"`}
}
