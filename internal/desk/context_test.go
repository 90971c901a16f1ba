package desk

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// dialogue makes a log from letters: User, Agent, Operator, System, or an event
// that is no message. Every message says its place in the log.
func dialogue(letters string) []handoff.Event {
	log := make([]handoff.Event, len(letters))
	for i, letter := range letters {
		log[i] = handoff.Event{
			Kind: handoff.EventMessage, Text: strconv.Itoa(i), At: start.Add(time.Duration(i) * time.Second),
			Author: map[rune]handoff.Author{
				'U': handoff.AuthorUser, 'A': handoff.AuthorAgent, 'O': handoff.AuthorOperator, 'S': handoff.AuthorSystem,
			}[letter],
		}
		if letter == '-' {
			log[i] = handoff.Event{Kind: handoff.EventHandoffChanged, State: handoff.StateClosed}
		}
	}
	return log
}

// show writes rounds and the newest round as "question/answer|question/answer||newest question/answer".
func show(rounds []Round, newest Round) string {
	var b strings.Builder
	for _, r := range rounds {
		b.WriteString(strings.ReplaceAll(r.Question.Body+"/"+r.Answer.Body+"|", "\n", ","))
	}
	return b.String() + strings.ReplaceAll("|"+newest.Question.Body+"/"+newest.Answer.Body, "\n", ",")
}

func TestBuildContext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		log    string
		rounds int
		want   string
	}{
		{"", 5, "|/"},
		{"U", 5, "|0/"},
		{"UU", 5, "|0,1/"},
		{"UA", 5, "|0/1"}, // answered, and then a human was asked for
		{"UAA", 5, "|0/1,2"},
		{"UAU", 5, "0/1||2/"},
		{"UAUA", 5, "0/1||2/3"},
		{"UUAAUU", 5, "0,1/2,3||4,5/"},
		{"UAUAUAU", 5, "0/1|2/3|4/5||6/"},
		{"UAUAUAU", 3, "0/1|2/3|4/5||6/"},
		{"UAUAUAU", 2, "2/3|4/5||6/"},
		{"UAUAUAU", 1, "4/5||6/"},
		{"UAUAUAU", 0, "|6/"},
		{"UAUAUAU", -1, "|6/"},
		{"A", 5, "/0||/"},        // only a greeting
		{"AAU", 5, "/0,1||2/"},   // a greeting, then the question
		{"AUAU", 1, "1/2||3/"},   // the greeting is the round that is cut off first
		{"UOOU", 5, "0/1,2||3/"}, // an Operator of an earlier session
		{"UAOU", 5, "0/1,2||3/"}, // Agent and Operator after one another
		{"SUSASUS", 5, "1/3||5/"},
		{"S-S", 5, "|/"},
		{"U-U", 5, "|0,2/"},
		{"U-A-U", 5, "0/2||4/"},
	} {
		rounds, newest := BuildContext(dialogue(c.log), c.rounds)
		require.Equal(t, c.want, show(rounds, newest), "%s with %d rounds", c.log, c.rounds)
	}
}

// reference cuts the same thing out of the letters, from the end backwards.
func reference(letters string, rounds int) string {
	var places []string
	var who []byte
	for i := range len(letters) {
		switch letters[i] {
		case 'U', 'A':
			who, places = append(who, letters[i]), append(places, strconv.Itoa(i))
		case 'O':
			who, places = append(who, 'A'), append(places, strconv.Itoa(i))
		}
	}
	end := len(who)
	run := func(letter byte) string {
		from := end
		for from > 0 && who[from-1] == letter {
			from--
		}
		text := strings.Join(places[from:end], ",")
		end = from
		return text
	}
	if !strings.Contains(string(who), "U") {
		if text := run('A'); text != "" && rounds > 0 {
			return "/" + text + "||/"
		}
		return "|/"
	}
	answered := run('A')
	out := "|" + run('U') + "/" + answered
	for n := 0; end > 0 && n < rounds; n++ {
		said := run('A')
		asked := run('U')
		out = asked + "/" + said + "|" + out
	}
	return out
}

func TestBuildContextOfEveryShortDialogue(t *testing.T) {
	t.Parallel()
	const alphabet = "UAOS-"
	dialogues := []string{""}
	for from := 0; len(dialogues[from]) < 6; from++ {
		for _, letter := range alphabet {
			dialogues = append(dialogues, dialogues[from]+string(letter))
		}
	}
	require.Len(t, dialogues, (15_625*5-1)/4)
	for _, letters := range dialogues {
		for rounds := range 4 {
			got, newest := BuildContext(dialogue(letters), rounds)
			if want := reference(letters, rounds); want != show(got, newest) {
				require.Equal(t, want, show(got, newest), "%s with %d rounds", letters, rounds)
			}
		}
	}
}

func TestBuildContextKeepsFilesAndTimes(t *testing.T) {
	t.Parallel()
	log := dialogue("UUAU")
	log[0].Attachments = []handoff.Attachment{{URL: "https://files.example.com/a"}, {URL: "https://files.example.com/b"}}
	log[0].Text = ""
	log[1].Attachments = []handoff.Attachment{{URL: "https://files.example.com/c"}}
	log[3].Text = ""
	log[3].Attachments = []handoff.Attachment{{URL: "https://files.example.com/d"}}
	rounds, newest := BuildContext(log, 5)
	question := newest.Question
	require.Equal(t, []Round{{
		Question: Text{Body: "1", At: start, Attachments: []handoff.Attachment{
			{URL: "https://files.example.com/a"}, {URL: "https://files.example.com/b"}, {URL: "https://files.example.com/c"},
		}},
		Answer: Text{Body: "2", At: start.Add(2 * time.Second)},
	}}, rounds)
	require.Equal(t, Text{At: start.Add(3 * time.Second), Attachments: []handoff.Attachment{{URL: "https://files.example.com/d"}}}, question)
	require.False(t, question.Empty())

	question.Attachments[0].URL = "changed"
	require.Equal(t, "https://files.example.com/d", log[3].Attachments[0].URL, "the log is not shared")
}

func TestPlain(t *testing.T) {
	t.Parallel()
	a, b := handoff.Attachment{URL: "https://files.example.com/a", Name: "A"}, handoff.Attachment{URL: "https://files.example.com/b"}
	require.Empty(t, new(Text).Plain())
	require.True(t, new(Text).Empty())
	require.Equal(t, "hi", (&Text{Body: "hi"}).Plain())
	require.Equal(t, "hi\nhttps://files.example.com/a\nhttps://files.example.com/b",
		(&Text{Body: "hi", Attachments: []handoff.Attachment{a, b}}).Plain())
	require.Equal(t, "https://files.example.com/a", (&Text{Attachments: []handoff.Attachment{a}}).Plain())
}
