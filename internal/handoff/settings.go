package handoff

import (
	"fmt"
	"strings"
	"time"

	"handoff/internal/fault"
	"handoff/internal/hours"
)

// EmailPolicy says what happens when a handoff is requested and the User's
// e-mail address is unknown.
type EmailPolicy string

// The e-mail policies.
const (
	EmailAsk      EmailPolicy = "ASK"      // the User must give one before the request goes on
	EmailOptional EmailPolicy = "OPTIONAL" // the User is asked once; any other answer goes on without
	EmailNever    EmailPolicy = "NEVER"    // the User is not asked
)

// WaitAction says what happens when no Operator wrote within the wait timeout.
type WaitAction string

// The wait actions.
const (
	WaitAsk WaitAction = "ASK" // ask the User "end, or keep waiting?" where the channel can ask
	WaitEnd WaitAction = "END" // end the handoff
)

// Settings are the handoff settings of one Agent.
type Settings struct {
	Enabled        bool           `json:"enabled"`
	Trigger        string         `json:"trigger"` // tells the LLM when to hand over
	WaitTimeout    Seconds        `json:"waitTimeoutSeconds"`
	WaitAction     WaitAction     `json:"waitAction"`
	SessionTimeout Seconds        `json:"sessionTimeoutSeconds"`
	EmailTimeout   Seconds        `json:"emailTimeoutSeconds"`
	TimeZone       string         `json:"timeZone"` // IANA name
	Hours          []hours.Rule   `json:"hours"`
	OffHoursReply  string         `json:"offHoursReply"` // "" = the standard text in the User's language
	ContextRounds  int            `json:"contextRounds"`
	EmailPolicy    EmailPolicy    `json:"emailPolicy"`
	FallbackEmail  string         `json:"fallbackEmail"` // for channels that cannot ask; "" = the desk's own default
	Language       string         `json:"language"`      // of the standard texts when the User's is unknown
	Texts          []TextOverride `json:"texts"`
}

// Seconds is a whole number of seconds, the unit of every timeout in the API.
type Seconds int

// Duration converts for arithmetic with time.Time.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// TextOverride replaces one standard text in one language.
type TextOverride struct {
	Language string `json:"language"` // BCP 47
	Notice   Notice `json:"notice"`
	Text     string `json:"text"`
}

// Defaults and limits. 60 s, 180 s and 10 rules are the product's documented
// values; the ranges and the other defaults are ours, since no source states them.
const (
	DefaultWaitTimeout    Seconds = 60
	DefaultSessionTimeout Seconds = 180
	DefaultEmailTimeout   Seconds = 600
	DefaultContextRounds          = 5

	MinTimeout        Seconds = 5
	MaxWaitTimeout    Seconds = 3_600
	MaxSessionTimeout Seconds = 86_400
	MaxEmailTimeout   Seconds = 86_400
	MaxContextRounds          = 50
	MaxTriggerRunes           = 2_000
	MaxOffHoursRunes          = 2_000
	MaxNoticeRunes            = 1_000
	MaxTextOverrides          = 500
)

// DefaultSettings are the settings of a new Agent in the given time zone.
func DefaultSettings(timeZone string) Settings {
	return Settings{
		WaitTimeout:    DefaultWaitTimeout,
		WaitAction:     WaitAsk,
		SessionTimeout: DefaultSessionTimeout,
		EmailTimeout:   DefaultEmailTimeout,
		TimeZone:       timeZone,
		ContextRounds:  DefaultContextRounds,
		EmailPolicy:    EmailAsk,
		Language:       "en",
	}
}

// Validate checks every setting and normalises texts. The fault names the field and the limit.
func (s *Settings) Validate() error {
	if err := validText("trigger", s.Trigger, MaxTriggerRunes); err != nil {
		return err
	}
	for _, t := range []struct {
		field string
		value Seconds
		max   Seconds
	}{
		{"waitTimeoutSeconds", s.WaitTimeout, MaxWaitTimeout},
		{"sessionTimeoutSeconds", s.SessionTimeout, MaxSessionTimeout},
		{"emailTimeoutSeconds", s.EmailTimeout, MaxEmailTimeout},
	} {
		if t.value < MinTimeout || t.value > t.max {
			return fault.Invalid(t.field, "is %d, must be from %d to %d", t.value, MinTimeout, t.max)
		}
	}
	switch s.WaitAction {
	case WaitAsk, WaitEnd:
	default:
		return fault.Invalid("waitAction", "%q must be ASK or END", string(s.WaitAction))
	}
	switch s.EmailPolicy {
	case EmailAsk, EmailOptional, EmailNever:
	default:
		return fault.Invalid("emailPolicy", "%q must be ASK, OPTIONAL or NEVER", string(s.EmailPolicy))
	}
	if s.ContextRounds < 0 || s.ContextRounds > MaxContextRounds {
		return fault.Invalid("contextRounds", "is %d, must be from 0 to %d", s.ContextRounds, MaxContextRounds)
	}
	if err := validText("offHoursReply", s.OffHoursReply, MaxOffHoursRunes); err != nil {
		return err
	}
	s.FallbackEmail = strings.TrimSpace(s.FallbackEmail)
	if s.FallbackEmail != "" {
		if _, err := ParseEmail("fallbackEmail", s.FallbackEmail); err != nil {
			return err
		}
	}
	language, err := validLanguage("language", s.Language)
	if err != nil {
		return err
	}
	if language == "" {
		return fault.Invalid("language", "must not be empty")
	}
	s.Language = language
	if _, err := s.Schedule(); err != nil {
		return err
	}
	return s.validateTexts()
}

func (s *Settings) validateTexts() error {
	if len(s.Texts) > MaxTextOverrides {
		return fault.Invalid("texts", "has %d entries, at most %d are allowed", len(s.Texts), MaxTextOverrides)
	}
	type slot struct {
		language string
		notice   Notice
	}
	seen := map[slot]bool{}
	for i := range s.Texts {
		t := &s.Texts[i]
		at := fmt.Sprintf("texts[%d]", i)
		language, err := validLanguage(at+".language", t.Language)
		if err != nil {
			return err
		}
		if language == "" {
			return fault.Invalid(at+".language", "must not be empty")
		}
		t.Language = language
		if !t.Notice.Valid() {
			return fault.Invalid(at+".notice", "%q is not a notice", string(t.Notice))
		}
		if strings.TrimSpace(t.Text) == "" {
			return fault.Invalid(at+".text", "must not be empty; leave the entry out to use the standard text")
		}
		if err := validText(at+".text", t.Text, MaxNoticeRunes); err != nil {
			return err
		}
		if k := (slot{t.Language, t.Notice}); seen[k] {
			return fault.Invalid(at, "a text for %s in %s is already given", t.Notice, t.Language)
		} else {
			seen[k] = true
		}
	}
	return nil
}

// Schedule builds the service hours.
func (s *Settings) Schedule() (*hours.Schedule, error) {
	location, err := hours.LoadZone(s.TimeZone)
	if err != nil {
		return nil, err
	}
	return hours.New(location, s.Hours)
}
