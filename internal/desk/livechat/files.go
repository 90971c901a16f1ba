package livechat

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"strings"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

const (
	// maxFileBytes is LiveChat's limit of a file.
	maxFileBytes = 10 << 20
	// maxTransfers bounds how many files of a connection are in memory at a time.
	maxTransfers = 2
)

// fetcher gets the files that Users attached. LiveChat takes files only that were
// uploaded to it.
type fetcher struct {
	http  *http.Client
	slots chan struct{}
}

func newFetcher(c *http.Client) *fetcher {
	return &fetcher{http: c, slots: make(chan struct{}, maxTransfers)}
}

// uploader brings a multipart form with a file to LiveChat.
type uploader func(ctx context.Context, body []byte, contentType string) (uploaded, error)

// event makes the event of a piece. A file that cannot be had, is too large, or is
// refused becomes its address.
func (f *fetcher) event(ctx context.Context, p *piece, customID string, upload uploader) (event, error) {
	if p.file == nil {
		return event{Type: eventMessage, CustomID: customID, Text: p.text}, nil
	}
	link := event{Type: eventMessage, CustomID: customID, Text: p.file.URL}
	if p.file.SizeBytes > maxFileBytes {
		return link, nil
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return link, nil // the next call says so
	}
	body, contentType, ok := f.form(ctx, p.file)
	if !ok {
		return link, nil
	}
	up, err := upload(ctx, body, contentType)
	switch {
	case fault.Is(err, fault.DeskRejected):
		return link, nil
	case err != nil:
		return event{}, err
	case !isWeb(up.URL):
		return event{}, unreadable()
	}
	return event{Type: eventFile, CustomID: customID, URL: up.URL}, nil
}

// form fetches a file and makes a multipart form of it.
func (f *fetcher) form(ctx context.Context, a *handoff.Attachment) (body []byte, contentType string, ok bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL, http.NoBody)
	if err != nil {
		return nil, "", false
	}
	answer, err := desk.Do(f.http, req, maxFileBytes)
	if err != nil || answer.Status != http.StatusOK || answer.Truncated || len(answer.Body) == 0 {
		return nil, "", false
	}
	kind := a.ContentType
	if kind == "" {
		kind = answer.Header.Get("Content-Type")
	}
	if kind = desk.Line(kind, handoff.MaxContentTypeRunes); kind == "" {
		kind = "application/octet-stream"
	}
	var b bytes.Buffer
	b.Grow(len(answer.Body) + 1_024)
	w := multipart.NewWriter(&b)
	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", multipart.FileContentDisposition("file", fileName(a)))
	header.Set("Content-Type", kind)
	part, err := w.CreatePart(header)
	if err == nil {
		_, err = part.Write(answer.Body)
	}
	if err != nil || w.Close() != nil {
		return nil, "", false
	}
	return b.Bytes(), w.FormDataContentType(), true
}

// fileName is what a file is called: by its sender, else by its address.
func fileName(a *handoff.Attachment) string {
	name := desk.Line(a.Name, handoff.MaxAttachmentNameRunes)
	if name == "" {
		if u, err := url.Parse(a.URL); err == nil {
			name = desk.Line(path.Base(u.Path), handoff.MaxAttachmentNameRunes)
		}
	}
	if name = strings.Trim(strings.ReplaceAll(name, "/", "_"), ". "); name == "" {
		return "file"
	}
	return name
}
