package inbound

import (
	"errors"
	"net/http"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// hooks serves the message receiving addresses: /hooks/{token}, with what the desk
// may put behind it. The token is hard to guess, and the desk's own signature is
// checked where it has one.
type hooks struct{ Options }

func (h *hooks) exists(w http.ResponseWriter, r *http.Request) {
	if _, err := h.Business.ConnectionByToken(r.Context(), r.PathValue("token")); err != nil {
		h.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (h *hooks) receive(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	connection, err := h.Business.ConnectionByToken(ctx, r.PathValue("token"))
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	body, err := read(w, r, h.BodyLimit)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	d, err := h.Desks.For(ctx, connection)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	events, err := d.Receive(ctx, desk.Inbound{
		Path: r.PathValue("path"), Header: r.Header, Body: body, ReceivedAt: h.Now(),
	})
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	for i := range events {
		err := h.Business.FromDesk(ctx, connection, events[i:i+1])
		switch fault.KindOf(err) {
		case "":
		case fault.NotFound, fault.NotAllowedInState:
			// A session that is not ours, or has ended: nothing the desk could mend, and an
			// error would make it repeat the request or switch the address off.
			h.Log.DebugContext(ctx, "event of a desk ignored", "connection_id", connection.ID, "desk", connection.Kind,
				"event", events[i].Kind, "error_kind", fault.KindOf(err))
		default:
			h.refuse(w, r, err)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

func (h *hooks) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusRequestEntityTooLarge
	if !errors.Is(err, errTooLarge) {
		f := fault.As(err)
		status = f.Kind.HTTPStatus()
		h.Log.Log(r.Context(), f.Kind.LogLevel(), "request of a desk refused", "error_kind", f.Kind, "error", f.Error(), "cause", f.Cause)
	}
	http.Error(w, http.StatusText(status), status)
}
