package ide

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestPageAndWhatItLoads(t *testing.T) {
	t.Parallel()
	h := http.StripPrefix("/ide", Handler(`/graph"ql`))
	page := get(t, h, http.MethodGet, "/ide/")
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'none'")
	body, err := io.ReadAll(page.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), `data-endpoint="/graph&#34;ql"`)

	loads := regexp.MustCompile(`(?:src|href)="([^":]+)"`).FindAllStringSubmatch(string(body), -1)
	require.Len(t, loads, 3)
	for _, load := range append(loads, []string{"", "LICENSES.txt"}) {
		response := get(t, h, http.MethodGet, "/ide/"+load[1])
		require.Equal(t, http.StatusOK, response.StatusCode, load[1])
		again := get(t, h, http.MethodGet, "/ide/"+load[1], "If-None-Match", response.Header.Get("ETag"))
		require.Equal(t, http.StatusNotModified, again.StatusCode, load[1])
	}
}

// TestNothingIsLoadedFromElsewhere looks for addresses that a browser would
// fetch: a style sheet's, and script that imports.
func TestNothingIsLoadedFromElsewhere(t *testing.T) {
	t.Parallel()
	style, err := assets.ReadFile("dist/ide.css")
	require.NoError(t, err)
	require.NotRegexp(t, `url\(["']?(https?:)?//|@import`, string(style))
	script, err := assets.ReadFile("dist/ide.js")
	require.NoError(t, err)
	require.NotRegexp(t, `import\(["']https?:|from["']https?:`, string(script))
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	h := Handler("/graphql")
	for _, path := range []string{"/index.gohtml", "/dist/ide.js", "/../ide.go", "/build/entry.js"} {
		require.Equal(t, http.StatusNotFound, get(t, h, http.MethodGet, path).StatusCode, path)
	}
	response := get(t, h, http.MethodPost, "/")
	require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
	require.Equal(t, "GET, HEAD", response.Header.Get("Allow"))
}
