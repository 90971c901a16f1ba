package transport

import (
	"fmt"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Close codes of a socket: RFC 6455 §7.4 and IANA below 4000, the
// graphql-transport-ws protocol from 4400 on. The comment says when we send it
// and what the npm client graphql-ws 6 does on receiving it.
const (
	CloseGoingAway        = websocket.CloseGoingAway               // nothing was read for two ping intervals; retries
	CloseProtocolError    = websocket.CloseProtocolError           // broken websocket framing; fatal
	CloseInvalidUTF8      = websocket.CloseInvalidFramePayloadData // a text message is not UTF-8; fatal
	ClosePolicyViolation  = websocket.ClosePolicyViolation         // more messages than the rate limit allows; fatal
	CloseTooBig           = websocket.CloseMessageTooBig           // a message is over the read limit; fatal
	CloseInternalError    = websocket.CloseInternalServerErr       // a hook of ours broke its contract; fatal
	CloseServiceRestart   = websocket.CloseServiceRestart          // we are stopping; retries
	CloseTryAgainLater    = websocket.CloseTryAgainLater           // for hooks: overloaded; retries
	CloseBadRequest       = 4400                                   // a message is not of the protocol; fatal
	CloseUnauthorized     = 4401                                   // subscribe before the acknowledgement; fatal
	CloseForbidden        = 4403                                   // init refused, or the token expired; retries with fresh connectionParams
	CloseSubprotocol      = 4406                                   // the client does not offer graphql-transport-ws; fatal
	CloseInitTimeout      = 4408                                   // no connection_init in time; retries
	CloseSubscriberExists = 4409                                   // an operation with this id is running; fatal
	CloseTooManyInits     = 4429                                   // a second connection_init; fatal
)

// closeAbnormal is what metrics hear when a socket ended without a close frame.
const closeAbnormal = websocket.CloseAbnormalClosure

// maxReason is the room RFC 6455 §5.5 leaves for a reason: 125 bytes of control
// payload less two of code.
const maxReason = 123

// CloseError closes the socket with a code and a reason of the caller's choice:
// return it from OnInit, or cancel the context that OnInit returned with it as
// the cause. A reason over 123 bytes is cut.
type CloseError struct {
	Code   int
	Reason string
}

// Error gives code and reason.
func (e *CloseError) Error() string { return fmt.Sprintf("close %d: %s", e.Code, e.Reason) }

// sendable reports whether RFC 6455 §7.4 lets an endpoint put the code on the wire.
func sendable(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return false
}

// cutReason shortens a reason to what fits in a close frame, on a rune boundary.
func cutReason(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	end := maxReason
	for end > 0 && !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}
