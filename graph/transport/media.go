package transport

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// The media types of GraphQL over HTTP.
const (
	mediaJSON            = "application/json"
	mediaGraphQLResponse = "application/graphql-response+json"
	mediaEventStream     = "text/event-stream"
)

// wish is how much an Accept header wants a media type: by quality, then by how
// exactly it names the type (3 exact, 2 "application/*", 1 "*/*", 0 not at all).
type wish struct {
	quality     float64
	specificity int
}

func (w wish) over(other wish) bool {
	if w.quality != other.quality {
		return w.quality > other.quality
	}
	return w.specificity > other.specificity
}

// accepts gives the wish of the request for a media type (RFC 9110 §12.5.1).
// Without an Accept header everything is as welcome as anything.
func accepts(r *http.Request, mediaType string) wish {
	headers := r.Header.Values("Accept")
	if strings.TrimSpace(strings.Join(headers, "")) == "" {
		return wish{1, 1}
	}
	major, _, _ := strings.Cut(mediaType, "/")
	var best wish
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			offered, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			w := wish{quality: 1}
			switch offered {
			case mediaType:
				w.specificity = 3
			case major + "/*":
				w.specificity = 2
			case "*/*":
				w.specificity = 1
			default:
				continue
			}
			if q, ok := params["q"]; ok {
				if w.quality, err = strconv.ParseFloat(q, 64); err != nil {
					continue
				}
			}
			// The most exact mention decides, even when it says no (q=0).
			if w.specificity > best.specificity {
				best = w
			}
		}
	}
	return best
}

// responseType chooses between the two media types of a GraphQL response, or
// reports that the client takes neither. application/graphql-response+json must
// be asked for by name to be preferred: clients that say */* are the older ones
// (GraphQL over HTTP §6.4, its "watershed").
func responseType(r *http.Request) (string, bool) {
	plain, modern := accepts(r, mediaJSON), accepts(r, mediaGraphQLResponse)
	switch {
	case modern.quality > 0 && modern.specificity == 3 && !plain.over(modern):
		return mediaGraphQLResponse, true
	case plain.quality > 0:
		return mediaJSON, true
	case modern.quality > 0:
		return mediaGraphQLResponse, true
	}
	return mediaJSON, false
}

// isJSON reports whether the request's body claims to be JSON in UTF-8. It is
// what keeps other sites' forms out: a browser sends application/json across
// origins only after a CORS preflight.
func isJSON(r *http.Request) bool {
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != mediaJSON {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}
