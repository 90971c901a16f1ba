package handoff

import (
	"golang.org/x/text/language"
)

// Notice names one of the standard texts that the User reads. Agents may replace
// each of them per language.
type Notice string

// The notices.
const (
	NoticeEmailAsk        Notice = "EMAIL_ASK"         // please give your e-mail
	NoticeEmailOptional   Notice = "EMAIL_OPTIONAL"    // the same, and how to go on without
	NoticeEmailInvalid    Notice = "EMAIL_INVALID"     // that was no address; please again
	NoticeEmailNotGiven   Notice = "EMAIL_NOT_GIVEN"   // no address came; the assistant goes on
	NoticeConnecting      Notice = "CONNECTING"        // the desk accepted
	NoticeConnected       Notice = "CONNECTED"         // an Operator wrote
	NoticeBusy            Notice = "BUSY"              // the transfer failed
	NoticeKeepWaiting     Notice = "KEEP_WAITING"      // nobody answered yet: end, or keep waiting?
	NoticeEndedByUser     Notice = "ENDED_BY_USER"     //
	NoticeEndedByOperator Notice = "ENDED_BY_OPERATOR" //
	NoticeEndedByTimeout  Notice = "ENDED_BY_TIMEOUT"  // nobody answered, or the User fell silent
	NoticeEnded           Notice = "ENDED"             // ended by the service: disabled, or by an administrator
	NoticeOutOfHours      Notice = "OUT_OF_HOURS"      // outside the service hours
	NoticeNotDelivered    Notice = "NOT_DELIVERED"     // a message of the User did not reach the desk
)

// Notices lists every notice.
var Notices = []Notice{
	NoticeEmailAsk, NoticeEmailOptional, NoticeEmailInvalid, NoticeEmailNotGiven, NoticeConnecting,
	NoticeConnected, NoticeBusy, NoticeKeepWaiting, NoticeEndedByUser, NoticeEndedByOperator,
	NoticeEndedByTimeout, NoticeEnded, NoticeOutOfHours, NoticeNotDelivered,
}

// Valid reports whether the notice is one we know.
func (n Notice) Valid() bool {
	_, ok := standardTexts["en"][n]
	return ok
}

// The numeric status codes that GPTBots chat clients know. Source: GPTBOTS/Agent-Skills,
// bot-config-fields.md; whether "busy" is 84 or 38 is UNVERIFIED.
const (
	StatusConnecting      = 29
	StatusKeepWaiting     = 30
	StatusConnected       = 31
	StatusEndedByUser     = 33
	StatusEndedByOperator = 34
	StatusTimedOut        = 35
	StatusRequested       = 36
	StatusOutOfHours      = 37
	StatusNotReady        = 38
	StatusTransferFailed  = 84
)

// StatusCode is the GPTBots code of the notice, 0 where there is none.
func (n Notice) StatusCode() int {
	switch n {
	case NoticeConnecting:
		return StatusConnecting
	case NoticeConnected:
		return StatusConnected
	case NoticeBusy:
		return StatusTransferFailed
	case NoticeKeepWaiting:
		return StatusKeepWaiting
	case NoticeEndedByUser:
		return StatusEndedByUser
	case NoticeEndedByOperator:
		return StatusEndedByOperator
	case NoticeEndedByTimeout:
		return StatusTimedOut
	case NoticeOutOfHours:
		return StatusOutOfHours
	default:
		return 0
	}
}

// standardLanguages are the languages of the built-in texts; the first is the last resort.
var standardLanguages = []language.Tag{
	language.English, language.TraditionalChinese, language.SimplifiedChinese, language.Japanese,
}

// StandardLanguages are the tags of the built-in texts.
var StandardLanguages = []string{"en", "zh-Hant", "zh-Hans", "ja"}

var standardTexts = map[string]map[Notice]string{
	"en": {
		NoticeEmailAsk:        "Before I connect you to a person, please tell me your e-mail address.",
		NoticeEmailOptional:   "Before I connect you to a person: what is your e-mail address? Answer \"skip\" to go on without.",
		NoticeEmailInvalid:    "That does not look like an e-mail address. Please type it again, for example name@example.com.",
		NoticeEmailNotGiven:   "I did not get an e-mail address, so I have not connected you to a person. I am still here to help.",
		NoticeConnecting:      "Connecting you to a person. Please wait a moment.",
		NoticeConnected:       "You are now connected to a person.",
		NoticeBusy:            "Sorry, all our colleagues are busy. I could not connect you; please try again later.",
		NoticeKeepWaiting:     "Nobody has been able to answer yet. Do you want to end, or keep waiting?",
		NoticeEndedByUser:     "You have ended the conversation with our colleague.",
		NoticeEndedByOperator: "Our colleague has ended the conversation.",
		NoticeEndedByTimeout:  "The conversation with our colleague has ended because of the time limit.",
		NoticeEnded:           "The conversation with our colleague has ended.",
		NoticeOutOfHours:      "Our colleagues are not available at this time.",
		NoticeNotDelivered:    "Your last message could not be delivered to our colleague. Please send it again.",
	},
	"zh-Hant": {
		NoticeEmailAsk:        "為您轉接專人之前，請先告訴我您的電子郵件地址。",
		NoticeEmailOptional:   "為您轉接專人之前，請問您的電子郵件地址是？若不想提供，請回覆「略過」。",
		NoticeEmailInvalid:    "這看起來不是有效的電子郵件地址，請重新輸入，例如 name@example.com。",
		NoticeEmailNotGiven:   "我沒有收到電子郵件地址，因此尚未為您轉接專人。我仍然可以繼續協助您。",
		NoticeConnecting:      "正在為您轉接專人，請稍候。",
		NoticeConnected:       "已為您接通專人客服。",
		NoticeBusy:            "很抱歉，目前客服人員忙碌中，無法為您轉接，請稍後再試。",
		NoticeKeepWaiting:     "目前尚無客服人員回應。您要結束，還是繼續等待？",
		NoticeEndedByUser:     "您已結束與客服人員的對話。",
		NoticeEndedByOperator: "客服人員已結束對話。",
		NoticeEndedByTimeout:  "與客服人員的對話因逾時而結束。",
		NoticeEnded:           "與客服人員的對話已結束。",
		NoticeOutOfHours:      "目前為非服務時段，客服人員無法提供服務。",
		NoticeNotDelivered:    "您的上一則訊息未能送達客服人員，請重新傳送。",
	},
	"zh-Hans": {
		NoticeEmailAsk:        "为您转接人工之前，请先告诉我您的电子邮箱地址。",
		NoticeEmailOptional:   "为您转接人工之前，请问您的电子邮箱地址是？若不想提供，请回复“跳过”。",
		NoticeEmailInvalid:    "这看起来不是有效的电子邮箱地址，请重新输入，例如 name@example.com。",
		NoticeEmailNotGiven:   "我没有收到电子邮箱地址，因此尚未为您转接人工。我仍然可以继续帮助您。",
		NoticeConnecting:      "正在为您转接人工，请稍候。",
		NoticeConnected:       "已为您接通人工客服。",
		NoticeBusy:            "很抱歉，目前客服人员繁忙，无法为您转接，请稍后再试。",
		NoticeKeepWaiting:     "目前还没有客服人员回应。您要结束，还是继续等待？",
		NoticeEndedByUser:     "您已结束与客服人员的对话。",
		NoticeEndedByOperator: "客服人员已结束对话。",
		NoticeEndedByTimeout:  "与客服人员的对话因超时而结束。",
		NoticeEnded:           "与客服人员的对话已结束。",
		NoticeOutOfHours:      "当前为非服务时段，客服人员无法提供服务。",
		NoticeNotDelivered:    "您的上一条消息未能送达客服人员，请重新发送。",
	},
	"ja": {
		NoticeEmailAsk:        "担当者におつなぎする前に、メールアドレスを入力してください。",
		NoticeEmailOptional:   "担当者におつなぎする前に、メールアドレスを教えてください。入力しない場合は「スキップ」と返信してください。",
		NoticeEmailInvalid:    "メールアドレスの形式ではないようです。name@example.com のようにもう一度入力してください。",
		NoticeEmailNotGiven:   "メールアドレスを確認できなかったため、担当者にはおつなぎしていません。引き続きお手伝いします。",
		NoticeConnecting:      "担当者におつなぎしています。少々お待ちください。",
		NoticeConnected:       "担当者につながりました。",
		NoticeBusy:            "申し訳ありません。ただいま担当者が対応できず、おつなぎできませんでした。しばらくしてからもう一度お試しください。",
		NoticeKeepWaiting:     "まだ担当者が応答していません。終了しますか、それともこのまま待ちますか？",
		NoticeEndedByUser:     "担当者との会話を終了しました。",
		NoticeEndedByOperator: "担当者が会話を終了しました。",
		NoticeEndedByTimeout:  "時間の制限により、担当者との会話が終了しました。",
		NoticeEnded:           "担当者との会話が終了しました。",
		NoticeOutOfHours:      "ただいま担当者の対応時間外です。",
		NoticeNotDelivered:    "直前のメッセージを担当者に届けられませんでした。もう一度送信してください。",
	},
}

var standardMatcher = language.NewMatcher(standardLanguages)

// StandardText is the built-in text of a notice in the language nearest to the tag.
func StandardText(n Notice, tag string) string {
	_, index, _ := standardMatcher.Match(language.Make(tag))
	return standardTexts[StandardLanguages[index]][n]
}

// Text is what a User of the given language reads: the Agent's own text where one
// fits, else the built-in text. An empty or unknown language falls back to the
// Agent's language, then to English.
func (s *Settings) Text(n Notice, userLanguage string) string {
	wanted := make([]language.Tag, 0, 3)
	for _, tag := range []string{userLanguage, s.Language, StandardLanguages[0]} {
		if parsed, err := language.Parse(tag); err == nil && parsed != language.Und {
			wanted = append(wanted, parsed)
		}
	}
	own := make([]language.Tag, 0, 4)
	texts := make([]string, 0, 4)
	for _, t := range s.Texts {
		if t.Notice == n {
			own = append(own, language.Make(t.Language))
			texts = append(texts, t.Text)
		}
	}
	for _, tag := range wanted {
		// An own text wins only for a language that it really is in; otherwise a German
		// override would be shown to a Japanese User instead of the built-in Japanese.
		if len(own) > 0 {
			if _, i, confidence := language.NewMatcher(own).Match(tag); confidence >= language.High {
				return texts[i]
			}
		}
		if _, i, confidence := standardMatcher.Match(tag); confidence >= language.Low {
			return standardTexts[StandardLanguages[i]][n]
		}
	}
	return standardTexts[StandardLanguages[0]][n]
}

// OffHoursText is the reply to a request outside the service hours.
func (s *Settings) OffHoursText(userLanguage string) string {
	if s.OffHoursReply != "" {
		return s.OffHoursReply
	}
	return s.Text(NoticeOutOfHours, userLanguage)
}
