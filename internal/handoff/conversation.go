package handoff

import (
	"time"

	"handoff/internal/fault"
)

// Channel is where the User talks.
type Channel string

// The channels: the Agent's own ones, and the desks' own messengers.
const (
	ChannelWidget   Channel = "WIDGET"
	ChannelIframe   Channel = "IFRAME"
	ChannelShare    Channel = "SHARE"
	ChannelAPI      Channel = "API"
	ChannelWhatsApp Channel = "WHATSAPP"
	ChannelLine     Channel = "LINE"

	ChannelIntercom    Channel = "INTERCOM"
	ChannelLiveChat    Channel = "LIVECHAT"
	ChannelLivedesk    Channel = "LIVEDESK"
	ChannelZohoSalesIQ Channel = "ZOHO_SALESIQ"
	ChannelSobot       Channel = "SOBOT"
)

// Channels lists every channel.
var Channels = []Channel{
	ChannelWidget, ChannelIframe, ChannelShare, ChannelAPI, ChannelWhatsApp, ChannelLine,
	ChannelIntercom, ChannelLiveChat, ChannelLivedesk, ChannelZohoSalesIQ, ChannelSobot,
}

// Valid reports whether the channel is one we know.
func (c Channel) Valid() bool {
	switch c {
	case ChannelWidget, ChannelIframe, ChannelShare, ChannelAPI, ChannelWhatsApp, ChannelLine,
		ChannelIntercom, ChannelLiveChat, ChannelLivedesk, ChannelZohoSalesIQ, ChannelSobot:
		return true
	}
	return false
}

// OfDesk reports whether the channel is a desk's own messenger, where only the
// mode DESK_TO_DESK can serve the User.
func (c Channel) OfDesk() bool {
	switch c {
	case ChannelIntercom, ChannelLiveChat, ChannelLivedesk, ChannelZohoSalesIQ, ChannelSobot:
		return true
	default:
		return false
	}
}

// AsksEmail reports whether a User of the channel can be asked for an e-mail
// address. Elsewhere the step is skipped and the fallback address is used, as
// GPTBots does on third-party and API channels.
func (c Channel) AsksEmail() bool {
	switch c {
	case ChannelWidget, ChannelIframe, ChannelShare:
		return true
	default:
		return false
	}
}

// AsksToWait reports whether a User of the channel can answer "end or keep
// waiting?". Elsewhere the wait timeout ends the handoff.
func (c Channel) AsksToWait() bool { return c.AsksEmail() || c == ChannelAPI }

// Mode says on which side of the desk the User is.
type Mode string

// The modes.
const (
	ModeExternalToDesk Mode = "EXTERNAL_TO_DESK" // the User is on any channel of the Agent
	ModeDeskToDesk     Mode = "DESK_TO_DESK"     // the User is inside the desk's own messenger
)

// Control says who may speak to the User now.
type Control string

// The two holders of control.
const (
	ControlAgent   Control = "AGENT"
	ControlHandoff Control = "HANDOFF"
)

// User is what is known of the end user of a Conversation. Every field may be empty.
type User struct {
	ID          string // assigned by the Agent's owner, e.g. a member number
	AnonymousID string // assigned by the channel, e.g. a browser fingerprint or a LINE user id
	Name        string
	Email       string
	Phone       string // only WhatsApp knows it by itself
}

// Conversation is the whole dialogue of one User with one Agent on one Channel.
type Conversation struct {
	ID           string
	AgentID      string
	Channel      Channel
	User         User
	Language     string            // BCP 47 tag, "" = the Agent's default
	CustomFields map[string]string // shown to the Operator where the desk can

	Control       Control
	Epoch         int64  // grows by one at every change of Control; starts at 1
	OpenHandoffID string // "" while no Handoff is open
	LastSeq       int64  // the seq of the newest Event; 0 = none
	Version       int64  // grows at every change; for the store's compare-and-set

	// ConnectionID and DeskRef say in which session of which desk's messenger the User
	// writes, in DESK_TO_DESK; elsewhere both are "". Together they are unique.
	ConnectionID string
	DeskRef      string
	// UnansweredSince is when the User wrote, in a desk's messenger, the first of the
	// messages that nobody has answered yet; zero = the newest message is not the User's.
	UnansweredSince time.Time
	// HumanSeq is the newest event with which an Operator took the word in a desk's
	// messenger; 0 = none. What was to be said there before it comes too late.
	HumanSeq int64

	CreatedAt time.Time
	UpdatedAt time.Time
}

// InMessenger reports whether the User writes in a desk's own messenger.
func (c *Conversation) InMessenger() bool { return c.ConnectionID != "" }

// AwaitsAgent reports whether the User of a desk's messenger waits for the Agent:
// the newest message is the User's, and control is the Agent's.
func (c *Conversation) AwaitsAgent() bool {
	return c.Control == ControlAgent && !c.UnansweredSince.IsZero()
}

// Limits of a Conversation's fields.
const (
	MaxIdentityRunes     = 256
	MaxCustomFields      = 50
	MaxCustomKeyRunes    = 64
	MaxCustomValueRunes  = 1024
	MaxPhoneRunes        = 32
	MaxLanguageTagLength = 35 // RFC 5646 §4.4.1 advises buffers of at least 35
)

// StartConversation is the input of [Service.StartConversation].
type StartConversation struct {
	AgentID        string
	Channel        Channel
	User           User
	Language       string
	CustomFields   map[string]string
	IdempotencyKey string
}

func (in *StartConversation) validate() error {
	if !in.Channel.Valid() {
		return fault.Invalid("channel", "%q is not a channel", string(in.Channel))
	}
	if in.Channel.OfDesk() {
		return fault.Invalid("channel", "a conversation on %s begins when the user writes in the desk's own messenger", in.Channel)
	}
	for _, f := range []struct {
		name  string
		value *string
		max   int
	}{
		{"user.id", &in.User.ID, MaxIdentityRunes},
		{"user.anonymousId", &in.User.AnonymousID, MaxIdentityRunes},
		{"user.name", &in.User.Name, MaxIdentityRunes},
		{"user.phone", &in.User.Phone, MaxPhoneRunes},
	} {
		if err := validLine(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	if in.User.Email != "" {
		email, err := ParseEmail("user.email", in.User.Email)
		if err != nil {
			return err
		}
		in.User.Email = email
	}
	language, err := validLanguage("language", in.Language)
	if err != nil {
		return err
	}
	in.Language = language
	if len(in.CustomFields) > MaxCustomFields {
		return fault.Invalid("customFields", "has %d entries, at most %d are allowed", len(in.CustomFields), MaxCustomFields)
	}
	for key, value := range in.CustomFields {
		if err := validLine("customFields.key", &key, MaxCustomKeyRunes); err != nil {
			return err
		}
		if key == "" {
			return fault.Invalid("customFields.key", "must not be empty")
		}
		if err := validText("customFields.value", value, MaxCustomValueRunes); err != nil {
			return err
		}
	}
	return nil
}
