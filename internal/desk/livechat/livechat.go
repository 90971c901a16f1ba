package livechat

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Kind is the stable key of this desk.
const Kind = "livechat"

// apiVersion is the version of all chat interfaces, without the letter.
const apiVersion = "3.6"

// The fields of a connection.
const (
	fieldOrganizationID = "organization_id"
	fieldClientID       = "client_id"
	fieldRedirectURI    = "redirect_uri"
	fieldWebhookSecret  = "webhook_secret"
	fieldGroupID        = "group_id"
	fieldWhenOffline    = "when_offline"

	fieldAgentEmail   = "agent_email"
	fieldAccountID    = "account_id"
	fieldToken        = "token"
	fieldSecretKey    = "secret_key"
	fieldHumanGroupID = "human_group_id"
)

// What to do when nobody takes chats.
const (
	offlineWait = "wait" // the chat waits in LiveChat's queue
	offlineFail = "fail" // the handoff fails at once
)

const (
	uuidPattern  = `^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`
	groupPattern = `^[0-9]{1,9}$`
)

// Hosts are the addresses of LiveChat's servers, without a slash at the end.
type Hosts struct {
	Accounts string // gives tokens to customers
	API      string
}

var theirs = Hosts{Accounts: "https://accounts.livechat.com", API: "https://api.livechatinc.com"}

// Driver is the LiveChat desk.
type Driver struct {
	// RedirectURI is offered in the form, "" = the administrator enters one: the origin
	// of this service's public address with a slash.
	RedirectURI string
	// Hosts replaces LiveChat's own servers, for use with a simulator. Zero = the real ones.
	Hosts Hosts
	// Files fetches what Users attached. nil = a client that reaches no private
	// network, whatever the operator of this service allows to desks: the addresses
	// are the Users'.
	Files *http.Client
}

var _ desk.Driver = Driver{}

// At is the desk at an address that stands in for both of LiveChat's servers, such
// as that of a simulator; "" = at LiveChat's own. redirectURI is as in [Driver].
func At(address, redirectURI string) Driver {
	d := Driver{RedirectURI: redirectURI}
	if address != "" {
		d.Hosts = Hosts{Accounts: address, API: address}
	}
	return d
}

// publicFiles is the client for files when the driver has none of its own.
var publicFiles = sync.OnceValue(func() *http.Client { return desk.NewHTTPClient(desk.HTTPOptions{}) })

// Describe declares what LiveChat can do.
func (d Driver) Describe() handoff.DeskDescription {
	external := []handoff.Mode{handoff.ModeExternalToDesk}
	inside := []handoff.Mode{handoff.ModeDeskToDesk}
	return handoff.DeskDescription{
		Kind:    Kind,
		Title:   "LiveChat",
		Modes:   []handoff.Mode{handoff.ModeExternalToDesk, handoff.ModeDeskToDesk},
		Channel: handoff.ChannelLiveChat,
		Fields: []handoff.CredentialField{
			{
				Name: fieldOrganizationID, Label: "Organization ID", Required: true, Pattern: uuidPattern, Modes: external,
				Hint: "LiveChat → Settings → Account.",
			},
			{
				Name: fieldClientID, Label: "Client Id", Required: true, Pattern: `^[0-9A-Za-z_-]{8,64}$`, Modes: external,
				Hint: "Developer Console → your app → App Authorization.",
			},
			{
				Name: fieldRedirectURI, Label: "Redirect URI", Required: d.RedirectURI == "", Default: d.RedirectURI, Pattern: `^https?://[^\s?#]+/$`, Modes: external,
				Hint: "The origin of this service's public address with a slash at the end, such as https://handoff.example.com/. The app's redirect URI whitelist must contain exactly this; nobody is ever redirected there.",
			},
			{
				Name: fieldWebhookSecret, Label: "Webhook secret key", Secret: true, Modes: external,
				Hint: "The secret key of the chat webhooks. Without it, every webhook that matters costs a call of LiveChat's interface.",
			},
			{
				Name: fieldGroupID, Label: "Group id", Pattern: groupPattern, Modes: external,
				Hint: "The number of the group that gets the chats. Empty = LiveChat's routing decides.",
			},
			{
				Name: fieldAgentEmail, Label: "Agent e-mail", Required: true, Pattern: `^[^\s@]+@[^\s@]+$`, MaxRunes: handoff.MaxEmailLength, Modes: inside,
				Hint: "The address of the LiveChat agent whose seat the AI agent takes over. It must accept chats.",
			},
			{
				Name: fieldAccountID, Label: "Account ID", Required: true, Pattern: uuidPattern, Modes: inside,
				Hint: "Of the same agent: Developer Console → Settings → Authorization → Personal Access Tokens.",
			},
			{
				Name: fieldToken, Label: "Personal access token", Required: true, Secret: true, Modes: inside,
				Hint: "Of the same agent, with the scopes chats--all:rw, agents--all:ro and groups--all:ro.",
			},
			{
				Name: fieldSecretKey, Label: "Webhook secret key", Required: true, Secret: true, Modes: inside,
				Hint: "The secret key of the chat webhooks; choose the same for all of them.",
			},
			{
				Name: fieldHumanGroupID, Label: "Human group id", Required: true, Pattern: groupPattern, Modes: inside,
				Hint: "The number of the group of people who take over. The AI agent's seat must not be in it.",
			},
			{
				Name: fieldWhenOffline, Label: "When nobody takes chats", Default: offlineWait, Options: []string{offlineWait, offlineFail},
				Hint: "wait: the chat waits in LiveChat. fail: the handoff fails at once, and the AI agent goes on.",
			},
		},
		Steps: []string{
			"In the Developer Console (platform.text.com/console), build an app for the product LiveChat and add the building block App Authorization, type Server-side app. Copy its Client Id, and put the redirect URI of the form on its whitelist: " + redirectStep(d.RedirectURI) + ". No scope is needed.",
			"Add the building block Chat Webhooks with the message receiving address, type license, one for each of incoming_event, chat_deactivated, user_added_to_chat, chat_transferred and events_marked_as_seen; only the first two are necessary. For DESK_TO_DESK also add incoming_chat. Give all the same secret key, and copy it into the form.",
			"The building block App Webhooks may have the same address.",
			"Under Private installation, install the app. Without it no webhook comes.",
			"Copy the Organization ID from LiveChat's Settings → Account.",
			"Switch off what LiveChat sends to customers by e-mail, such as transcripts: the context of a handoff is part of the chat.",
			"For DESK_TO_DESK: log in as the agent whose seat the AI agent takes over, create a Personal Access Token, let the agent accept chats, and make a group of the people who take over.",
		},
		Receive:      []handoff.ReceiveAddress{{Label: "Webhook URL", Path: "/hooks/{token}"}},
		MaxTextRunes: maxTextRunes,
		Attachments:  handoff.AttachmentSupport{ToDesk: true, FromDesk: true},
		History:      true,
		Notes:        true,
		ReadReceipts: true,
		EndsByDesk:   true,
		LeavesOnOpen: true,
		Unknown:      handoff.OutcomeReadBack,
		Retry: map[handoff.DeliveryKind]handoff.RetryPolicy{
			// The User waits for the answer; a repeat finds what an earlier attempt left.
			handoff.DeliverOpen: {Attempts: 4, Base: time.Second, Max: 8 * time.Second},
		},
		// A webhook that fails is repeated for about a minute only.
		CatchUp: time.Minute,
		// LiveChat does not publish its limits.
		RequestsPerSecond: 10,
	}
}

// redirectStep is what an administrator enters as redirect URI.
func redirectStep(uri string) string {
	if uri == "" {
		return "the origin of this service's public address with a slash"
	}
	return uri
}

// Connect makes the desk of one connection.
func (d Driver) Connect(s desk.Settings) (desk.Desk, error) {
	hosts, files := d.Hosts, d.Files
	if hosts == (Hosts{}) {
		hosts = theirs
	}
	if files == nil {
		files = publicFiles()
	}
	description := d.Describe()
	for _, f := range description.Fields {
		if f.Required && f.AskedIn(s.Mode) && s.Fields[f.Name] == "" {
			return nil, fault.Invalid("fields."+f.Name, "%s is required", f.Label)
		}
	}
	c := &client{accounts: hosts.Accounts, api: hosts.API, http: s.HTTP, now: s.Now}
	fetch := newFetcher(files)
	if s.Mode == handoff.ModeDeskToDesk {
		return newInsideDesk(c, fetch, &s), nil
	}
	return newExternalDesk(c, fetch, &s), nil
}

// idPattern is the form of the ids of chats, threads and events.
var idPattern = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// A session is one thread of a chat. All that LiveChat tells of a session names
// both, and a chat outlives its threads, so both make the reference.
func newRef(chatID, threadID string) string { return chatID + "/" + threadID }

// splitRef is the reverse of newRef.
func splitRef(ref string) (chatID, threadID string, ok bool) {
	chatID, threadID, ok = strings.Cut(ref, "/")
	return chatID, threadID, ok && idPattern.MatchString(chatID) && idPattern.MatchString(threadID)
}
