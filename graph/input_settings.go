package graph

import (
	"slices"
	"strings"
	"time"

	"handoff/graph/model"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

// settingsChange puts those settings that were given over the old ones.
func settingsChange(in model.UpdateHandoffSettingsInput) func(*handoff.Settings) error {
	return func(s *handoff.Settings) error {
		set(&s.Enabled, in.Enabled)
		set(&s.Trigger, in.Trigger)
		setSeconds(&s.WaitTimeout, in.WaitTimeoutSeconds)
		setSeconds(&s.SessionTimeout, in.SessionTimeoutSeconds)
		setSeconds(&s.EmailTimeout, in.EmailTimeoutSeconds)
		set(&s.TimeZone, in.TimeZone)
		set(&s.OffHoursReply, in.OffHoursReply)
		set(&s.ContextRounds, in.ContextRounds)
		set(&s.FallbackEmail, in.FallbackEmail)
		set(&s.Language, in.Language)
		if in.WaitAction != nil {
			s.WaitAction = handoff.WaitAction(*in.WaitAction)
		}
		if in.EmailPolicy != nil {
			s.EmailPolicy = handoff.EmailPolicy(*in.EmailPolicy)
		}
		if in.Hours != nil {
			s.Hours = each(in.Hours, hoursRuleFrom)
		}
		if in.Texts != nil {
			s.Texts = each(in.Texts, func(t model.NoticeTextInput) handoff.TextOverride {
				return handoff.TextOverride{Language: t.Language, Notice: handoff.Notice(t.Notice), Text: t.Text}
			})
		}
		return nil
	}
}

func set[T any](setting *T, in *T) {
	if in != nil {
		*setting = *in
	}
}

func setSeconds(setting *handoff.Seconds, in *int) {
	if in != nil {
		*setting = handoff.Seconds(*in)
	}
}

func hoursRuleFrom(in model.HoursRuleInput) hours.Rule {
	return hours.Rule{
		Kind:     hours.Kind(in.Kind),
		Weekdays: each(in.Weekdays, weekdayFrom),
		Date:     given(in.Date),
		Start:    in.Start,
		End:      in.End,
	}
}

// weekdayFrom counts like package time, where the week begins with Sunday; in the
// API it begins with Monday.
func weekdayFrom(d model.Weekday) time.Weekday {
	return time.Weekday((slices.Index(model.AllWeekday, d) + 1) % 7)
}

func weekday(d time.Weekday) model.Weekday { return model.Weekday(strings.ToUpper(d.String())) }
